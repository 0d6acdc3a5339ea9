{{/*
What the operator may do where K8sGPTs are. It holds what it grants to the actors (results, leases, and mutations, of
which it can approve none). Secrets: it reads the
one with the kubeconfig of a K8sGPT, and writes the one with its harmless parts; it cannot list them.
*/}}
{{- define "asya-analysis.ownRules" -}}
- apiGroups: [core.k8sgpt.ai]
  resources: [k8sgpts]
  verbs: [get, list, watch, patch]
- apiGroups: [core.k8sgpt.ai]
  resources: [k8sgpts/status]
  verbs: [patch]
- apiGroups: [core.k8sgpt.ai]
  resources: [k8sgpts/finalizers]
  verbs: [update]
- apiGroups: [core.k8sgpt.ai]
  resources: [results]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [core.k8sgpt.ai]
  resources: [results/status]
  verbs: [get, patch]
- apiGroups: [asya.sh]
  resources: [asyncactors]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [configmaps, serviceaccounts]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, create, patch, delete]
- apiGroups: [rbac.authorization.k8s.io]
  resources: [roles]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [get, create, update, patch]
- apiGroups: ["", events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- if .Values.remediation.enabled }}
- apiGroups: [core.k8sgpt.ai]
  resources: [mutations]
  verbs: [get, create, patch, delete]
- apiGroups: [core.k8sgpt.ai]
  resources: [mutations/status]
  verbs: [patch]
{{- end }}
{{- with .Values.rbac.extraRules }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/*
What reaches beyond those namespaces: the rights of watchers, which are bound where they watch; whether the original
operator runs somewhere. It may bind only the roles that are named here.
*/}}
{{- define "asya-analysis.clusterRules" -}}
- apiGroups: [rbac.authorization.k8s.io]
  resources: [clusterrolebindings, rolebindings]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [rbac.authorization.k8s.io]
  resources: [clusterroles]
  resourceNames:
    - {{ .Values.analysis.watchRole }}
    {{- if .Values.remediation.enabled }}
    - asya-analysis-remedy
    - asya-analysis-remedy-policy
    {{- end }}
  verbs: [bind]
- apiGroups: [apps]
  resources: [deployments]
  verbs: [list]
{{- end -}}

{{/* What remedy may change, by kind. */}}
{{- define "asya-analysis.remedyRules" -}}
{{- $kinds := .Values.remediation.kinds -}}
{{- range $group, $resources := dict
  "" (dict "Pod" "pods" "Service" "services")
  "apps" (dict "Deployment" "deployments" "StatefulSet" "statefulsets" "DaemonSet" "daemonsets")
  "networking.k8s.io" (dict "Ingress" "ingresses") -}}
{{- $named := list -}}
{{- range $kind, $resource := $resources -}}
{{- if has $kind $kinds -}}{{- $named = append $named $resource -}}{{- end -}}
{{- end -}}
{{- with $named }}
- apiGroups: [{{ $group | quote }}]
  resources: {{ toJson . }}
  verbs: [get, patch]
{{- end -}}
{{- end -}}
{{- end -}}

{{/* A binding's subject. */}}
{{- define "asya-analysis.subject" -}}
- kind: ServiceAccount
  name: {{ include "asya-analysis.serviceAccountName" . }}
  namespace: {{ .Release.Namespace }}
{{- end -}}
