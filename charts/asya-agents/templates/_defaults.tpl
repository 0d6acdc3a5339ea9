{{/*
Every template begins with `include "asya-agents.values" .`: it puts what `--reuse-values` left out of .Values back in.
After it a template can name any key without asking whether it is there.
*/}}
{{- define "asya-agents.values" -}}
{{- include "asya-agents.fill" (list .Values (.Files.Get "files/defaults.yaml" | fromYaml)) -}}
{{- end -}}

{{/* Sets the keys that are missing. Arguments: values, defaults. Maps that a person writes as a whole are left alone. */}}
{{- define "asya-agents.fill" -}}
{{- $values := index . 0 -}}
{{- $whole := list "resources" "scaling" "spec" "annotations" "nodeSelector" "affinity" -}}
{{- range $key, $default := index . 1 -}}
{{- $value := get $values $key -}}
{{- if or (not (hasKey $values $key)) (kindIs "invalid" $value) -}}
{{- $_ := set $values $key $default -}}
{{- else if and (kindIs "map" $default) (kindIs "map" $value) (not (has $key $whole)) -}}
{{- include "asya-agents.fill" (list $value $default) -}}
{{- end -}}
{{- end -}}
{{- end -}}
