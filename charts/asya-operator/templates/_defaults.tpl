{{/*
Every template begins with `include "asya-operator.values" .`: it puts what `--reuse-values` left out of .Values back in,
and takes over older spellings. After it a template can name any key without asking whether it is there.
*/}}
{{- define "asya-operator.values" -}}
{{- $defaults := .Files.Get "files/defaults.yaml" | fromYaml -}}
{{- include "asya-operator.fill" (list .Values $defaults) -}}
{{- range $name, $old := dig "transports" dict .Values.operator -}}
{{- /* A configuration without our keys is one that the Go chart read: there the other spelling had no effect. */ -}}
{{- $default := dig $name dict $defaults.transports -}}
{{- $whole := true -}}
{{- range $key, $_ := dig "config" dict $default -}}
{{- if not (hasKey (dig $name "config" dict $.Values.transports) $key) -}}{{- $whole = false -}}{{- end -}}
{{- end -}}
{{- if $whole -}}
{{- include "asya-operator.inherit" (list $.Values.transports (dict $name $old) $defaults.transports) -}}
{{- end -}}
{{- end -}}
{{- include "asya-operator.inherit" (list .Values (pick .Values.operator "gatewayURL") $defaults) -}}
{{- with .Values.runtime.localPath -}}
{{- include "asya-operator.inherit" (list $.Values.runtime.local (dict "path" .) $defaults.runtime.local) -}}
{{- end -}}
{{- with .Values.runtime.githubRelease -}}
{{- include "asya-operator.inherit" (list $.Values.runtime.github (dict "version" .) $defaults.runtime.github) -}}
{{- end -}}
{{- end -}}

{{/*
Sets the keys that are missing. Arguments: values, defaults. Maps that a person writes as a whole are not looked into:
who gives `resources` without limits wants no limits, and a transport's `config` without `queues.dlq` has none: its queues
were made so, and the operator has defaults of its own.
*/}}
{{- define "asya-operator.fill" -}}
{{- $values := index . 0 -}}
{{- $whole := list "resources" "defaultResources" "podSecurityContext" "securityContext" "labels" "config" -}}
{{- range $key, $default := index . 1 -}}
{{- $value := get $values $key -}}
{{- if or (not (hasKey $values $key)) (kindIs "invalid" $value) -}}
{{- $_ := set $values $key $default -}}
{{- else if and (kindIs "map" $default) (kindIs "map" $value) (not (has $key $whole)) -}}
{{- include "asya-operator.fill" (list $value $default) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/*
Takes over older spellings. Arguments: values, older values, defaults. A key counts as given when it differs from its
default; what was given in the newer spelling wins.
*/}}
{{- define "asya-operator.inherit" -}}
{{- $values := index . 0 -}}
{{- $defaults := index . 2 -}}
{{- range $key, $old := index . 1 -}}
{{- $value := get $values $key -}}
{{- $default := "" -}}
{{- if hasKey $defaults $key -}}{{- $default = get $defaults $key -}}{{- end -}}
{{- if and (kindIs "map" $value) (kindIs "map" $old) (kindIs "map" $default) -}}
{{- include "asya-operator.inherit" (list $value $old $default) -}}
{{- else if or (not (hasKey $values $key)) (deepEqual $value $default) -}}
{{- $_ := set $values $key $old -}}
{{- end -}}
{{- end -}}
{{- end -}}
