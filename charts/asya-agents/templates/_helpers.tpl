{{- define "asya-agents.labels" -}}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: asya
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end -}}

{{/* The image of an actor. The registry goes in front of names without one. Arguments: root, the actor's name. */}}
{{- define "asya-agents.image" -}}
{{- $root := index . 0 -}}
{{- $of := ternary $root.Values.helm.image $root.Values.image (eq (index . 1) "helm") -}}
{{- $image := printf "%s:%s" $of.repository (toString $of.tag) -}}
{{- /* The program of the ThothScript chart is another one. */ -}}
{{- if contains "thothscript" $of.repository -}}{{- $image = "asya-crew:latest" -}}{{- end -}}
{{- if $of.digest -}}{{- $image = printf "%s@%s" $of.repository $of.digest -}}{{- end -}}
{{- $registry := $root.Values.global.imageRegistry | trimSuffix "/" -}}
{{- $first := first (splitList "/" $image) -}}
{{- $named := and (contains "/" $image) (or (contains "." $first) (contains ":" $first) (eq $first "localhost")) -}}
{{- if and $registry (not $named) -}}{{ $registry }}/{{- end -}}
{{- $image -}}
{{- end -}}

{{/* The actors that run, as JSON: name, which agents know and which is their key in values; handler; whether the API server is talked to, or, of the others, the gateway is asked for somebody. */}}
{{- define "asya-agents.actors" -}}
{{- $actors := list -}}
{{- range list
  (dict "name" "k8s-read" "handler" "asya_crew.k8s_read" "talks" true)
  (dict "name" "analyze" "handler" "asya_crew.analyze_cluster" "talks" true)
  (dict "name" "k8s-write" "handler" "asya_crew.k8s_write" "talks" true)
  (dict "name" "helm" "handler" "asya_crew.helm" "talks" true)
  (dict "name" "http-get" "handler" "asya_crew.http_get" "talks" false)
  (dict "name" "approval" "handler" "asya_crew.approval" "talks" false "asks" true) -}}
{{- if (get $.Values .name).enabled -}}{{- $actors = append $actors . -}}{{- end -}}
{{- end -}}
{{- $actors | toJson -}}
{{- end -}}

{{/* The account of an actor. Arguments: root, its name. */}}
{{- define "asya-agents.account" -}}
{{- $root := index . 0 -}}
{{- if $root.Values.serviceAccount.create -}}
{{- printf "%s-%s" (default $root.Release.Name $root.Values.serviceAccount.name | trunc 50 | trimSuffix "-") (index . 1) -}}
{{- else -}}
{{- default "default" $root.Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}
