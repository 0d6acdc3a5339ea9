{{/*
Where the runtime script is in the operator's container. A path below one of `volumeMounts` is there by the user's own
doing; any other absolute path is a file of the node; a relative one (the Go chart's default) is the image's own file.
*/}}
{{- define "asya-operator.runtimeMounted" -}}
{{- $path := .Values.runtime.local.path -}}
{{- range .Values.volumeMounts -}}
{{- if or (eq .mountPath $path) (hasPrefix (printf "%s/" (trimSuffix "/" .mountPath)) $path) -}}true{{- break -}}{{- end -}}
{{- end -}}
{{- end -}}

{{/* "true" when the file comes from the node. */}}
{{- define "asya-operator.runtimeFromNode" -}}
{{- $path := .Values.runtime.local.path -}}
{{- if and (eq .Values.runtime.source "local") (hasPrefix "/" $path) (ne $path "/runtime/asya_runtime.py") (not (include "asya-operator.runtimeMounted" .)) -}}
true
{{- end -}}
{{- end -}}

{{- define "asya-operator.runtimePath" -}}
{{- $path := .Values.runtime.local.path -}}
{{- if and (eq .Values.runtime.source "local") (hasPrefix "/" $path) -}}{{- $path -}}{{- else -}}/runtime/asya_runtime.py{{- end -}}
{{- end -}}
