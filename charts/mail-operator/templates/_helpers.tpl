{{/* The name of everything in this release. */}}
{{- define "mail-operator.fullname" -}}
{{- $name := .Release.Name -}}
{{- if not (contains .Chart.Name $name) -}}
{{- $name = printf "%s-%s" $name .Chart.Name -}}
{{- end -}}
{{- .Values.fullnameOverride | default $name | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{- define "mail-operator.selectorLabels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{/* Helm adds app.kubernetes.io/managed-by by itself; written here it would be untrue in deploy/. */}}
{{- define "mail-operator.labels" -}}
{{ include "mail-operator.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{- end -}}

{{- define "mail-operator.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* A yes or no of `lockdown`: what the value says, else what `enabled` says. */}}
{{- define "mail-operator.locked" -}}
{{- $value := get .lockdown .name -}}
{{- if kindIs "bool" $value }}{{ $value }}{{ else }}{{ .lockdown.enabled }}{{ end -}}
{{- end -}}

{{/* Whether /metrics needs a token: `true` or nothing. */}}
{{- define "mail-operator.metricsAuthenticated" -}}
{{- $locked := include "mail-operator.locked" (dict "lockdown" .Values.lockdown "name" "metricsAuthentication") -}}
{{- if or .Values.metrics.authentication.enabled (eq $locked "true") }}true{{ end -}}
{{- end -}}

{{/* Says no to values that fit the schema one by one but not together. */}}
{{- define "mail-operator.validate" -}}
{{- with .Values -}}
{{- if .namespaces -}}
{{- if and .mailServers (not (has $.Release.Namespace .namespaces)) -}}
{{- fail (printf "mailServers become objects in the namespace %s, which the operator would not see: add it to namespaces" $.Release.Namespace) -}}
{{- end -}}
{{- if .defaultServer -}}
{{- $namespace := first (splitList "/" .defaultServer) -}}
{{- if not (has $namespace .namespaces) -}}
{{- fail (printf "defaultServer lies in the namespace %s, which the operator would not see: add it to namespaces" $namespace) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and .lockdown.enabled (not .lockdown.egress) -}}
{{- fail "lockdown.enabled needs lockdown.egress: list the networks, addresses and names of your mail servers and token endpoints, such as smtp.office365.com and login.microsoftonline.com" -}}
{{- end -}}
{{- if and .lockdown.enabled (ne .secretBinding "Required") -}}
{{- fail "lockdown.enabled needs secretBinding: Required" -}}
{{- end -}}
{{- if and (eq .metrics.monitor "ServiceMonitor") (not .metrics.service) -}}
{{- fail "metrics.monitor: ServiceMonitor needs metrics.service: true (PodMonitor does not)" -}}
{{- end -}}
{{- if and (ne .metrics.monitor "None") (include "mail-operator.metricsAuthenticated" $) (not .metrics.authentication.tokenSecret.name) -}}
{{- fail "metrics.monitor needs metrics.authentication.tokenSecret.name where metrics need a token: the Secret with the token that Prometheus shall use" -}}
{{- end -}}
{{- end -}}
{{- end -}}
