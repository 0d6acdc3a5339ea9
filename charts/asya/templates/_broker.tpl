{{/* The RabbitMQ transport's configuration as the operator's chart will see it, as far as it is given. */}}
{{- define "asya.rabbitmq" -}}
{{- $operator := get .Values "asya-operator" | default dict -}}
{{- $rabbitmq := dig "transports" "rabbitmq" dict $operator -}}
{{- if and (dig "enabled" true $operator) (dig "enabled" true $rabbitmq) -}}
{{- dig "config" dict $rabbitmq | toJson -}}
{{- else -}}{}{{- end -}}
{{- end -}}

{{- define "asya.trial" -}}
{{- if dig "trialBroker" "enabled" false .Values.AsMap -}}true{{- end -}}
{{- end -}}

{{- define "asya.brokerLabels" -}}
app.kubernetes.io/name: asya-trial-broker
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: asya
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end -}}
