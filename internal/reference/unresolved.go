package reference

import "regexp"

// unresolved matches texts that are almost certainly references or placeholders. A random text does
// not match.
var unresolved = regexp.MustCompile(`(?s)` +
	`^\$\{[A-Za-z_][A-Za-z0-9_]*(?:[:?=+-].*)?\}$` + // ${NAME}, ${NAME:-default}
	`|^\$\([A-Za-z_][A-Za-z0-9_]*\)$` + // $(NAME): Kubernetes
	`|^<(?:[A-Z]?[a-z]+|[A-Z]+|[0-9]{1,4})(?:[ _-](?:[A-Z]?[a-z]+|[A-Z]+|[0-9]{1,4}))+>$` + // <words-like-these>
	`|\{\{-?\s[^{}]*\s-?\}\}|^\{\{[.$]?[A-Za-z_][A-Za-z0-9_.]*\}\}$`) // {{ .Values.secret }}, {{secret}}

// foreign matches references of other systems. In rare cases, a password looks like one.
var foreign = regexp.MustCompile(`(?s)` +
	`^\$[A-Z_][A-Z0-9_]*$` + // $NAME: the shell
	`|\$\([A-Z_][A-Z0-9_]{2,}\)` + // a$(NAME)b: Kubernetes replaces this as well
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

// IsUnresolved reports whether a value is a reference or a placeholder that nothing has replaced,
// such as $(NAME) or <the-secret-goes-here>. Such a value is certainly not a secret.
func IsUnresolved(value string) bool { return unresolved.MatchString(Trim(value)) }

// IsForeign reports whether a value looks like a reference of another system, such as $NAME or
// vault://path, or is unresolved. A password may look like one by chance. References of [Resolve]
// are included: both File:PATH and file:PATH are foreign.
func IsForeign(value string) bool { return IsUnresolved(value) || foreign.MatchString(Trim(value)) }

// variables matches foreign references that are almost certainly environment variables.
var variables = regexp.MustCompile(`^(?:\$[A-Z_][A-Z0-9_]*|\$\([A-Za-z_][A-Za-z0-9_]*\)|` +
	`[eE][nN][vV]://[A-Za-z_][A-Za-z0-9_]*|\{\$[A-Za-z_][A-Za-z0-9_]*\}|\{env\.[A-Za-z_][A-Za-z0-9_]*\}|` +
	`%[A-Z_][A-Z0-9_]*%)$`)

// part matches a variable inside a longer value, which [Resolve] does not replace.
var part = regexp.MustCompile(`\$\{[A-Za-z_][A-Za-z0-9_]*[}:?+=-]`)

// IsForeignVariable reports whether a value is an environment variable as another system writes it,
// such as $NAME, or contains one, as in https://${NAME}/. A value that is not a secret may be meant
// literally.
func IsForeignVariable(value string) bool {
	return variables.MatchString(Trim(value)) || !Is(value) && part.MatchString(value)
}
