package conf

import (
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
)

// selfservice returns the schema of the flows and their hooks.
func (s *schemaWriter) selfservice() object {
	flows := func(nested bool) object {
		keys := object{}
		for _, name := range s.Flows {
			keys[name] = s.flow(name)
		}
		if !nested {
			keys["settings"] = object{"allOf": []object{s.flow("settings"), {"properties": object{"before": false}}}}
		}
		for _, name := range kratosPages {
			page := s.leaves(flowPath, "selfservice.flows."+name)
			for key := range page {
				page[key] = schemaIgnored
			}
			keys[name] = mapping("Has no hooks.", page)
		}
		return keys
	}
	keys := flows(false)
	maps.Copy(keys, s.leaves("selfservice"))
	keys["flows"] = mapping("The flows, in the layout of Kratos since v0.4.", flows(true))
	is := mapping("The flows and their hooks.", keys)
	beside := object{} // flows beside flows
	for _, name := range s.Flows {
		beside[name] = false
	}
	is["dependentSchemas"].(object)["flows"] = object{"properties": beside}
	return is
}

func (s *schemaWriter) flow(name string) object {
	return s.ref("flow:"+name, func() object {
		keys := s.leaves(flowPath, "selfservice.flows."+name)
		keys["before"] = s.point(name, "before", false)
		keys["after"] = s.point(name, "after", false)
		keys["failed"] = s.point(name, "failed", false)
		return mapping("", keys)
	})
}

var phaseDocs = map[string]string{
	"before": "Hooks that run before the handler, at every request of the flow.",
	"after":  "Hooks that run after the flow has succeeded, in the transaction, or before it with phase: before_persist.",
	"failed": "Hooks that run after the flow has failed.",
}

// point returns the schema of the hooks of a phase or, if ofStrategy is true, of a strategy in it:
// a list, or a mapping with the list.
func (s *schemaWriter) point(flow, in string, ofStrategy bool) object {
	entry := s.entry(flow, in)
	keys, doc := object{}, phaseDocs[in]
	if in == "after" {
		keys = s.leaves(afterPath)
	}
	if ofStrategy {
		doc = "Hooks for this strategy only."
		if in == "after" {
			keys = s.leaves(strategyPath)
		}
	} else if in != "before" {
		for _, name := range s.Strategies {
			keys[name] = s.ref("strategy:"+flow+":"+in, func() object { return s.point(flow, in, true) })
		}
	}
	keys["hooks"] = object{"type": "array", "items": entry, "description": "The hooks, in the order they run."}
	is := mapping(doc, keys)
	is["type"], is["items"] = []string{"array", "object"}, entry
	return is
}

// entry returns the schema of an entry, with the hooks that are allowed there.
func (s *schemaWriter) entry(flow, in string) object {
	base := s.ref("entry", s.anyEntry)
	return s.ref("entry:"+flow+":"+in, func() object {
		phases := []string{in}
		here := object{}
		if in == "after" {
			phases = afterPhases
		} else {
			here["phase"] = false
		}
		var hooks []object
		for _, h := range s.Hooks {
			if len(h.allowed(flow, phases)) > 0 {
				hooks = append(hooks, s.ref("hook:"+h.Name, func() object {
					return described(h.Description, object{"const": h.Name})
				}))
			}
		}
		here["hook"] = object{"anyOf": hooks}
		return object{"allOf": []object{base, {"properties": here}}}
	})
}

// afterPhases are the phases of an entry within after.
var afterPhases = []string{"before_persist", "after"}

// allowed returns those of the phases at which the hook is allowed.
func (h *HookKind) allowed(flow string, phases []string) (some []string) {
	for _, phase := range phases {
		if h.Custom || h.Allowed(flow, phase) {
			some = append(some, phase)
		}
	}
	return some
}

// anyEntry returns the schema of an entry with any hook.
func (s *schemaWriter) anyEntry() object {
	is := mapping("", object{
		"hook":    described("The name of the hook.", schemaText),
		"config":  object{"type": "object", "description": "The config of the hook."},
		"phase":   object{"enum": afterPhases, "description": "before_persist: before anything is saved."},
		"timeout": described("How long the hook may take, such as 2s.", schemaDuration),
	})
	is["required"] = []string{"hook"}
	var hooks []object
	for _, h := range s.Hooks {
		if h.Custom {
			continue
		}
		keys := object{"config": false}
		if h.Config != nil {
			keys["config"] = config(h.Config)
		}
		phases := map[string]bool{}
		for _, flow := range s.Flows {
			for _, phase := range h.allowed(flow, afterPhases) {
				phases[phase] = true
			}
		}
		keys["phase"] = object{"enum": slices.Sorted(maps.Keys(phases))}
		hooks = append(hooks, object{
			"if":   object{"properties": object{"hook": object{"const": h.Name}}, "required": []string{"hook"}},
			"then": object{"properties": keys},
		})
	}
	is["allOf"] = hooks
	return is
}

// config returns the schema of a struct that a config is decoded into. Its tags are yaml, doc (a
// sentence), enum (the values, separated by commas) and is (duration).
func config(of any) object {
	keys := object{}
	for _, f := range reflect.VisibleFields(reflect.TypeOf(of)) {
		is := schemaText
		switch enum := f.Tag.Get("enum"); {
		case f.Type.Kind() == reflect.Bool:
			is = schemaFlag
		case f.Tag.Get("is") == "duration":
			is = schemaDuration
		case enum != "":
			is = object{"enum": strings.Split(enum, ",")}
		}
		keys[f.Tag.Get("yaml")] = described(f.Tag.Get("doc"), is)
	}
	return mapping("", keys)
}

// accepted returns the schema of flowhook.accept.
func accepted(v *Vocabulary) object {
	var rules []object
	for _, name := range slices.Sorted(maps.Keys(v.Rules)) {
		rules = append(rules, described(v.Rules[name], object{"const": name}))
	}
	for _, h := range v.Hooks {
		if h.Custom {
			rules = append(rules, object{"pattern": "^" + regexp.QuoteMeta(h.Name) + "/"})
		}
	}
	entry := mapping("", object{
		"rule":   object{"type": "string", "anyOf": rules, "description": "The rule of the findings."},
		"reason": object{"type": "string", "pattern": `\S`, "description": "Why they are intended."},
	})
	entry["required"] = []string{"rule", "reason"}
	return object{"type": "array", "items": entry}
}
