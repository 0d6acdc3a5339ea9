{{/* The actors to render, each with what it inherits. Prints a JSON list of {name, namespace, labels, annotations, healthChecks, spec}. */}}
{{- define "asya-actor.actors" -}}
{{- $entries := .Values.actors -}}
{{- if .Values.name -}}
{{- if $entries -}}{{- fail "give name or actors, not both" -}}{{- end -}}
{{- $one := merge (pick .Values "name" "image" "handler" "env" "scaling" "workload" "healthChecks") .Values.spec -}}
{{- $entries = list $one -}}
{{- end -}}
{{- $out := list -}}
{{- range $entries -}}
{{- $out = append $out (include "asya-actor.one" (list $ .) | fromJson) -}}
{{- end -}}
{{- $out | toJson -}}
{{- end -}}

{{/* One actor. Arguments: root, entry. */}}
{{- define "asya-actor.one" -}}
{{- $values := (index . 0).Values -}}
{{- $entry := deepCopy (index . 1) -}}
{{- $name := required "every entry of actors needs a name" $entry.name -}}
{{- $default := deepCopy $values.default -}}
{{- include "asya-actor.spellings" (list $entry dict) -}}
{{- include "asya-actor.spellings" (list $default (index . 0 | include "asya-actor.ownScaling" | fromJson)) -}}
{{- include "asya-actor.under" (list $entry $default) -}}
{{- if not $entry.transport -}}{{- $_ := set $entry "transport" $values.transport -}}{{- end -}}
{{- if not $entry.transport -}}{{- fail (printf "actor %s needs a transport: set transport, or actors[].transport" $name) -}}{{- end -}}
{{- if $entry.image -}}
{{- $container := dict "name" "asya-runtime" "image" $entry.image "imagePullPolicy" $entry.imagePullPolicy "resources" $entry.resources -}}
{{- $template := default dict $entry.workload.template -}}
{{- $spec := default dict $template.spec -}}
{{- if $spec.containers -}}{{- fail (printf "actor %s: give image or workload.template.spec.containers, not both" $name) -}}{{- end -}}
{{- $_ := set $spec "containers" (list $container) -}}
{{- $_ := set $template "spec" $spec -}}
{{- $_ := set $entry.workload "template" $template -}}
{{- else if not (or $entry.workload.template $entry.handlerFrom $entry.workloadRef) -}}
{{- fail (printf "actor %s needs image and handler, or workload.template, handlerFrom or workloadRef" $name) -}}
{{- end -}}
{{- if or $entry.workloadRef (and $entry.handlerFrom (not $entry.workload.template)) -}}
{{- if eq (keys $entry.workload | join ",") "kind" -}}{{- $_ := unset $entry "workload" -}}{{- end -}}
{{- end -}}
{{- $spec := dict -}}
{{- range $key, $value := omit $entry "name" "namespace" "labels" "annotations" "healthChecks" "image" "imagePullPolicy" "resources" -}}
{{- if not (or (kindIs "invalid" $value) (and (kindIs "string" $value) (not $value)) (and (kindIs "slice" $value) (not $value))) -}}
{{- $_ := set $spec $key $value -}}
{{- end -}}
{{- end -}}
{{- dict "name" $name "namespace" (coalesce $entry.namespace $values.namespace (index . 0).Release.Namespace) "labels" (default dict $entry.labels) "annotations" (default dict $entry.annotations) "healthChecks" $entry.healthChecks "spec" $spec | toJson -}}
{{- end -}}

{{/* Sets what the entry does not say, key by key. Arguments: entry, defaults. */}}
{{- define "asya-actor.under" -}}
{{- $entry := index . 0 -}}
{{- range $key, $default := index . 1 -}}
{{- if not (hasKey $entry $key) -}}{{- $_ := set $entry $key $default -}}
{{- else if and (kindIs "map" $default) (kindIs "map" (get $entry $key)) -}}
{{- include "asya-actor.under" (list (get $entry $key) $default) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* What the chart itself says of scaling. Argument: root. */}}
{{- define "asya-actor.ownScaling" -}}
{{- (.Files.Get "files/defaults.yaml" | fromYaml).default.scaling | toJson -}}
{{- end -}}

{{/*
The Go chart's names in scaling. Arguments: an entry, what the chart itself says of scaling in its place. A newer name wins,
unless it is there with the chart's own value only: then nobody has given it.
*/}}
{{- define "asya-actor.spellings" -}}
{{- $own := index . 1 -}}
{{- $scaling := (index . 0).scaling -}}
{{- with $scaling -}}
{{- range $old, $new := dict "minReplicaCount" "minReplicas" "maxReplicaCount" "maxReplicas" -}}
{{- if hasKey $scaling $old -}}
{{- $given := and (hasKey $scaling $new) (ne (get $scaling $new | toString) (get $own $new | toString)) -}}
{{- if not $given -}}{{- $_ := set $scaling $new (get $scaling $old) -}}{{- end -}}
{{- $_ := unset $scaling $old -}}
{{- end -}}
{{- end -}}
{{- with .advanced -}}{{- if .triggers -}}
{{- $_ := set $scaling "triggers" .triggers -}}
{{- $_ := unset . "triggers" -}}
{{- end -}}{{- end -}}
{{- if and (hasKey . "advanced") (not .advanced) -}}{{- $_ := unset . "advanced" -}}{{- end -}}
{{- end -}}
{{- end -}}

{{- define "asya-actor.labels" -}}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: asya
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end -}}
