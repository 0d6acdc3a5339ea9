{{/* Leaves out what is empty: "" in values means "not given". Argument: a map. Prints JSON. */}}
{{- define "asya-operator.pruned" -}}
{{- $out := dict -}}
{{- range $key, $value := . -}}
{{- if kindIs "map" $value -}}
{{- $inner := include "asya-operator.pruned" $value | fromJson -}}
{{- if hasSuffix "SecretRef" $key -}}
{{- if $inner.name -}}{{- $_ := set $out $key $inner -}}{{- end -}}
{{- else if or $inner (eq $key "queues") -}}{{- $_ := set $out $key $inner -}}{{- end -}}
{{- else if and (eq $key "accountId") (or (kindIs "float64" $value) (kindIs "int64" $value)) -}}
{{- $_ := set $out $key ($value | int64 | toString) -}}
{{- else if not (or (kindIs "invalid" $value) (and (kindIs "string" $value) (eq $value ""))) -}}
{{- $_ := set $out $key $value -}}
{{- end -}}
{{- end -}}
{{- $out | toJson -}}
{{- end -}}

{{/* The transport's kind: its type, or its own name. Arguments: name, transport. */}}
{{- define "asya-operator.kind" -}}
{{- $kind := default (index . 0) (index . 1).type -}}
{{- if not (has $kind (list "rabbitmq" "sqs")) -}}
{{- fail (printf "transports.%s.type must be rabbitmq or sqs, not %q" (index . 0) $kind) -}}
{{- end -}}
{{- $kind -}}
{{- end -}}

{{/* ASYA_TRANSPORT_CONFIG. */}}
{{- define "asya-operator.transportConfig" -}}
{{- $all := dict -}}
{{- range $name, $transport := .Values.transports -}}
{{- if $transport -}}
{{- $config := include "asya-operator.pruned" (default dict $transport.config) | fromJson -}}
{{- with $transport.projectTo -}}{{- $_ := set $config "projectTo" . -}}{{- end -}}
{{- $kind := include "asya-operator.kind" (list $name $transport) -}}
{{- $_ := set $all $name (dict "type" $kind "enabled" (eq (toString $transport.enabled) "true") "config" $config) -}}
{{- end -}}
{{- end -}}
{{- /* A value may name the release: {{ .Release.Namespace }}. */ -}}
{{- $json := dict "transports" $all | toJson -}}
{{- if contains "{{" $json -}}{{- tpl $json . -}}{{- else -}}{{- $json -}}{{- end -}}
{{- end -}}

{{/* The enabled transports. Prints a JSON map. */}}
{{- define "asya-operator.enabledTransports" -}}
{{- $all := (include "asya-operator.transportConfig" . | fromJson).transports -}}
{{- range $name, $transport := $all -}}
{{- if not $transport.enabled -}}{{- $_ := unset $all $name -}}{{- end -}}
{{- end -}}
{{- $all | toJson -}}
{{- end -}}

{{/*
Keys of Secrets that a transport's configuration names, each with its Secret. The operator finds a key as the file of that
name, so two Secrets cannot both give it. Arguments: name of the transport, its configuration. Prints a JSON map.
*/}}
{{- define "asya-operator.transportKeys" -}}
{{- $name := index . 0 -}}
{{- $keys := dict -}}
{{- range $field, $value := index . 1 -}}
{{- $found := dict -}}
{{- if hasSuffix "SecretRef" $field -}}{{- $found = dict $value.key $value.name -}}
{{- else if kindIs "map" $value -}}
{{- $found = include "asya-operator.transportKeys" (list $name $value) | fromJson -}}
{{- end -}}
{{- range $key, $secret := $found -}}
{{- if and (hasKey $keys $key) (ne (get $keys $key) $secret) -}}
{{- fail (printf "transports.%s: the Secrets %s and %s both give the key %q: call one of them differently" $name (get $keys $key) $secret $key) -}}
{{- end -}}
{{- $_ := set $keys $key $secret -}}
{{- end -}}
{{- end -}}
{{- $keys | toJson -}}
{{- end -}}

{{/* "true" when actors' pods get a ServiceAccount with a role of AWS. */}}
{{- define "asya-operator.actorRole" -}}
{{- range (include "asya-operator.enabledTransports" . | fromJson) -}}
{{- if and (eq .type "sqs") .config.actorRoleArn -}}true{{- break -}}{{- end -}}
{{- end -}}
{{- end -}}

{{/* Namespaces that credentials are written into, if they are looked after. Prints a JSON list without repetition. */}}
{{- define "asya-operator.projected" -}}
{{- $namespaces := list -}}
{{- range (include "asya-operator.enabledTransports" . | fromJson) -}}
{{- range default list .config.projectTo -}}
{{- if or (not $.Values.watchNamespaces) (has . $.Values.watchNamespaces) -}}
{{- $namespaces = append $namespaces . -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $namespaces | uniq | sortAlpha | toJson -}}
{{- end -}}
