{{/* The registry goes in front of names without one. Arguments: root, name with tag or digest. */}}
{{- define "asya-crew.reference" -}}
{{- $registry := (index . 0).Values.global.imageRegistry | trimSuffix "/" -}}
{{- $image := index . 1 -}}
{{- $first := first (splitList "/" $image) -}}
{{- $named := and (contains "/" $image) (or (contains "." $first) (contains ":" $first) (eq $first "localhost")) -}}
{{- if and $registry (not $named) -}}{{ $registry }}/{{- end -}}
{{- $image -}}
{{- end -}}
