{{/*
What the operator may do where actors are. No wildcard, no Secrets: the credentials of brokers are mounted, and other
namespaces get them only by transports.*.projectTo.
*/}}
{{- define "asya-operator.actorRules" -}}
- apiGroups: [asya.sh]
  resources: [asyncactors]
  verbs: [get, list, watch, update, patch]
- apiGroups: [asya.sh]
  resources: [asyncactors/status, asyncactors/finalizers]
  verbs: [update, patch]
- apiGroups: [apps]
  resources: [deployments, statefulsets]
  verbs: [get, list, watch, create, update, patch, delete]
- apiGroups: [apps]
  resources: [deployments/scale, statefulsets/scale]
  verbs: [patch]
- apiGroups: [""]
  resources: [configmaps, services]
  verbs: [get, list, watch, create, update, patch, delete]
- apiGroups: [""]
  resources: [pods, serviceaccounts]
  verbs: [get, list, watch]
- apiGroups: ["", events.k8s.io]
  resources: [events]
  verbs: [create, patch]
- apiGroups: [keda.sh]
  resources: [scaledobjects, scaledjobs, triggerauthentications]
  verbs: [get, list, watch, create, update, patch, delete]
- apiGroups: [autoscaling]
  resources: [horizontalpodautoscalers]
  verbs: [get, list, watch]
{{- if include "asya-operator.actorRole" . }}
# transports.*.config.actorRoleArn: actors' pods run as ServiceAccounts that carry the role
- apiGroups: [""]
  resources: [serviceaccounts]
  verbs: [create, update, patch, delete]
{{- end }}
{{- with .Values.rbac.extraRules }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* What has no namespace: Pod Security labels, whether KEDA and our CRD are there. */}}
{{- define "asya-operator.clusterRules" -}}
- apiGroups: [""]
  resources: [namespaces]
  verbs: [get, list, watch]
- apiGroups: [apiextensions.k8s.io]
  resources: [customresourcedefinitions]
  resourceNames:
    - asyncactors.asya.sh
    - scaledobjects.keda.sh
    - scaledjobs.keda.sh
    - triggerauthentications.keda.sh
  verbs: [get, list, watch]
{{- end -}}

{{/* A binding's subject. */}}
{{- define "asya-operator.subject" -}}
- kind: ServiceAccount
  name: {{ include "asya-operator.serviceAccountName" . }}
  namespace: {{ .Release.Namespace }}
{{- end -}}
