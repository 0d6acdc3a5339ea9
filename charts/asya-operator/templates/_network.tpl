{{/* Ports that are open beside the scaler's: metrics to whom they are for, health to the kubelet. */}}
{{- define "asya-operator.openPorts" -}}
{{- if .Values.metrics.enabled -}}
- ports:
    - {protocol: TCP, port: {{ .Values.metrics.port }}}
  {{- with .Values.networkPolicy.metricsFrom }}
  from:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}
- ports:
    - {protocol: TCP, port: {{ .Values.health.port }}}
{{- end -}}

{{/* The port in an address such as http://host:15672, else that of its scheme. */}}
{{- define "asya-operator.portOf" -}}
{{- $url := urlParse . -}}
{{- if contains ":" $url.host -}}{{- $url.host | splitList ":" | last -}}
{{- else if eq $url.scheme "https" -}}443{{- else -}}80{{- end -}}
{{- end -}}

{{/* Ports of the enabled brokers. Prints a JSON list without repetition. */}}
{{- define "asya-operator.brokerPorts" -}}
{{- $ports := list -}}
{{- range include "asya-operator.enabledTransports" . | fromJson -}}
{{- if eq .type "rabbitmq" -}}
{{- $ports = append $ports (int (default (ternary 5671 5672 (eq (toString .config.tls) "true")) .config.port)) -}}
{{- with .config.managementURL -}}{{- $ports = append $ports (include "asya-operator.portOf" . | int) -}}{{- end -}}
{{- else -}}
{{- $ports = append $ports (include "asya-operator.portOf" (default "https://sqs" .config.endpoint) | int) -}}
{{- end -}}
{{- end -}}
{{- if eq .Values.runtime.source "github" -}}{{- $ports = append $ports 443 -}}{{- end -}}
{{- uniq $ports | toJson -}}
{{- end -}}

{{/*
Port of the sidecars' metrics, where the push scaler asks what is in hand if a broker does not tell; else nothing. An actor
with a port of its own (spec.sidecar.env) needs a rule in networkPolicy.egress.
*/}}
{{- define "asya-operator.sidecarPort" -}}
{{- $asked := false -}}
{{- range include "asya-operator.enabledTransports" . | fromJson -}}
{{- if and (eq .type "rabbitmq") (not .config.managementURL) -}}{{- $asked = true -}}{{- end -}}
{{- end -}}
{{- if and $asked (include "asya-operator.push" .) -}}8080{{- end -}}
{{- end -}}
