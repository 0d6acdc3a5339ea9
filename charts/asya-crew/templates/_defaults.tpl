{{/*
Every template begins with `include "asya-crew.values" .`: it puts what `--reuse-values` left out of .Values back in.
After it a template can name any key without asking whether it is there.
*/}}
{{- define "asya-crew.values" -}}
{{- include "asya-crew.fill" (list .Values (.Files.Get "files/defaults.yaml" | fromYaml)) -}}
{{- end -}}

{{/* Sets the keys that are missing. Arguments: values, defaults. Maps that a person writes as a whole are left alone. */}}
{{- define "asya-crew.fill" -}}
{{- $values := index . 0 -}}
{{- $whole := list "resources" "podSecurityContext" "securityContext" "workload" "scaling" -}}
{{- range $key, $default := index . 1 -}}
{{- $value := get $values $key -}}
{{- if or (not (hasKey $values $key)) (kindIs "invalid" $value) -}}
{{- $_ := set $values $key $default -}}
{{- else if and (kindIs "map" $default) (kindIs "map" $value) (not (has $key $whole)) -}}
{{- include "asya-crew.fill" (list $value $default) -}}
{{- end -}}
{{- end -}}
{{- end -}}
