{{/*
Every template begins with `include "asya-analysis.values" .`: it puts what `--reuse-values` left out of .Values back in,
and takes over the keys of the original chart. After it a template can name any key without asking whether it is there.
*/}}
{{- define "asya-analysis.values" -}}
{{- $defaults := .Files.Get "files/defaults.yaml" | fromYaml -}}
{{- include "asya-analysis.fill" (list .Values $defaults) -}}
{{- include "asya-analysis.original" (list .Values $defaults) -}}
{{- end -}}

{{/* Sets the keys that are missing. Arguments: values, defaults. Maps that a person writes as a whole are not looked into. */}}
{{- define "asya-analysis.fill" -}}
{{- $values := index . 0 -}}
{{- $whole := list "resources" "podSecurityContext" "securityContext" "labels" -}}
{{- range $key, $default := index . 1 -}}
{{- $value := get $values $key -}}
{{- if or (not (hasKey $values $key)) (kindIs "invalid" $value) -}}
{{- $_ := set $values $key $default -}}
{{- else if and (kindIs "map" $default) (kindIs "map" $value) (not (has $key $whole)) -}}
{{- include "asya-analysis.fill" (list $value $default) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/*
Takes over other spellings. Arguments: values, what was given in the other spelling, defaults. A key counts as given when
it differs from its default; what was given in our spelling wins.
*/}}
{{- define "asya-analysis.inherit" -}}
{{- $values := index . 0 -}}
{{- $defaults := index . 2 -}}
{{- range $key, $old := index . 1 -}}
{{- $value := get $values $key -}}
{{- $default := "" -}}
{{- if hasKey $defaults $key -}}{{- $default = get $defaults $key -}}{{- end -}}
{{- if and (kindIs "map" $value) (kindIs "map" $old) (kindIs "map" $default) -}}
{{- include "asya-analysis.inherit" (list $value $old $default) -}}
{{- else if or (not (hasKey $values $key)) (deepEqual $value $default) -}}
{{- $_ := set $values $key $old -}}
{{- end -}}
{{- end -}}
{{- end -}}
