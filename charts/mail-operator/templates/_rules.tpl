{{/* What the operator needs wherever mail is sent from: in the whole cluster, or in each namespace it is restricted to. */}}
{{- define "mail-operator.rulesForMail" -}}
# What users write. Watched, so that a change is acted on at once; never changed.
- apiGroups: [mail-operator.dev]
  resources: [mailserverconfigs, messagetemplates, notifications]
  verbs: [get, list, watch]
# What became of it. Each result is one merge patch.
- apiGroups: [mail-operator.dev]
  resources: [mailserverconfigs/status, messagetemplates/status, notifications/status]
  verbs: [get, patch]
# A finished Notification is removed when its `delivery.keepFor` is over.
- apiGroups: [mail-operator.dev]
  resources: [notifications]
  verbs: [delete]
# Passwords, client secrets and certificates, read by the name that a MailServerConfig gives, when a session opens. Neither
# list nor watch: the operator must not be able to find Secrets that nobody told it about.
- apiGroups: [""]
  resources: [secrets]
  verbs: [get]
# CA bundles, read by the name in `caRef`.
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get]
# Whether the ServiceAccount of a `federatedToken` exists and permits its use by an annotation. This gives no token.
- apiGroups: [""]
  resources: [serviceaccounts]
  verbs: [get]
{{- if has "*" .Values.federation.serviceAccounts }}
# Tokens of every ServiceAccount, because the values say so: whoever gets hold of the operator can be any of them.
- apiGroups: [""]
  resources: [serviceaccounts/token]
  verbs: [create]
{{- end }}
# An Event when the state of an object changes; `patch` counts a repeated one instead of writing it again.
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end -}}
