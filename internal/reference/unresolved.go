package reference

import "regexp"

// unresolved matches what hardly anything but a reference or a placeholder is written as. A random
// text does not match it.
var unresolved = regexp.MustCompile(`(?s)` +
	`^\$\{[A-Za-z_][A-Za-z0-9_]*(?:[:?=+-].*)?\}$` + // ${NAME}, ${NAME:-default}
	`|^\$\([A-Za-z_][A-Za-z0-9_]*\)$` + // $(NAME): Kubernetes
	`|^<(?:[A-Z]?[a-z]+|[A-Z]+|[0-9]{1,4})(?:[ _-](?:[A-Z]?[a-z]+|[A-Z]+|[0-9]{1,4}))+>$` + // <words-like-these>
	`|\{\{-?\s[^{}]*\s-?\}\}|^\{\{[.$]?[A-Za-z_][A-Za-z0-9_.]*\}\}$`) // {{ .Values.secret }}, {{secret}}

// foreign matches the references of other systems that a password may look like, if only rarely.
var foreign = regexp.MustCompile(`(?s)` +
	`^\$[A-Z_][A-Z0-9_]*$` + // $NAME: the shell
	`|\$\([A-Z_][A-Z0-9_]{2,}\)` + // a$(NAME)b: Kubernetes replaces this, too
	`|^\$?(?i:env:(?://)?)[A-Za-z_][A-Za-z0-9_]*$` + // env://NAME, $env:NAME: PowerShell
	`|^\{\$[A-Z_][A-Z0-9_]*\}$|^\{env\.[A-Za-z_][A-Za-z0-9_]*\}$` + // Caddy
	`|^%[A-Z_][A-Z0-9_]*%$` + // Windows
	`|^%env\(.*\)%$` + // Symfony
	`|^(?i:file:)` +
	`|^/(?:var/|private/)?(?:app|config|data|etc|home|mnt|opt|run|secrets?|srv|tmp|usr|vault)/` +
	`|^(?:ref\+[a-z0-9]+|[a-z0-9+.-]*(?:conjur|keychain|keyring|keyvault|password|secret|sops|vault)[a-z0-9+.-]*` +
	`|aws[a-z]*|bws?|doppler|env|gcp[a-z]*|infisical|k8s|kms|op|s3|ssm)://` +
	`|^arn:aws[a-z-]*:` +
	`|^projects/[^/]+/secrets/` + // Google Cloud
	`|^ENC[(\[].*[)\]]$` + // Jasypt, SOPS
	`|^\{cipher\}`) // Spring

// IsUnresolved reports whether a value, such as $(NAME) or <the-secret-goes-here>, is written as if
// something would replace it, so that it is certainly not a secret.
func IsUnresolved(value string) bool { return unresolved.MatchString(Trim(value)) }

// IsForeign reports whether a value is written as another system writes a reference, such as $NAME
// or vault://path, or IsUnresolved reports true for it. A password may look like that by chance. A
// value for [Resolve] is not excluded: File:PATH is foreign, and so is file:PATH.
func IsForeign(value string) bool { return IsUnresolved(value) || foreign.MatchString(Trim(value)) }

// variables matches the foreign references that hardly anything but a variable of the environment
// is written as.
var variables = regexp.MustCompile(`^(?:\$[A-Z_][A-Z0-9_]*|\$\([A-Za-z_][A-Za-z0-9_]*\)|` +
	`[eE][nN][vV]://[A-Za-z_][A-Za-z0-9_]*|\{\$[A-Za-z_][A-Za-z0-9_]*\}|\{env\.[A-Za-z_][A-Za-z0-9_]*\}|%[A-Z_][A-Z0-9_]*%)$`)

// part matches a variable that is a part of a value, which [Resolve] does not replace.
var part = regexp.MustCompile(`\$\{[A-Za-z_][A-Za-z0-9_]*[}:?+=-]`)

// IsForeignVariable reports whether a value names a variable of the environment in the way of
// another system, such as $NAME, or a part of it does, as in https://${NAME}/. Where it is not a
// secret, it may be meant.
func IsForeignVariable(value string) bool {
	return variables.MatchString(Trim(value)) || !Is(value) && part.MatchString(value)
}
