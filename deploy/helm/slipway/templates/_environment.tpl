{{/* What each service is told: the names are those of its settings.py. */}}

{{- define "slipway.environment" -}}
{{- $root := .root -}}
{{- $values := .root.Values -}}
{{- $keys := "/srv/slipway/keys" -}}
{{- $own := get $values .part -}}
- name: SLIPWAY_NATS_URL
  value: nats://slipway-nats:4222
- name: SLIPWAY_NATS_NKEY_FILE
  value: {{ $keys }}/nats.nk
- name: SLIPWAY_EVENT_KEY_FILE
  value: {{ $keys }}/event-id.key
- name: SLIPWAY_OTLP_ENDPOINT
  value: {{ $values.otlpEndpoint | quote }}
- name: SLIPWAY_HEALTH_HOST
  value: 0.0.0.0
- name: SLIPWAY_HEALTH_PORT
  value: "8001"
{{- include "slipway.settings" (dict "prefix" "SLIPWAY_" "settings" (merge (dict) ($own.chassis | default dict) (dict "log_level" $values.logLevel))) }}
{{- if has .part (list "gateway" "catalog" "notifier") }}
{{ include "slipway.environment.database" . }}
{{- include "slipway.settings" (dict "prefix" "SLIPWAY_DATABASE_" "settings" ($own.database | default dict)) }}
{{- end }}
{{- include (printf "slipway.environment.%s" .part) (dict "root" $root "keys" $keys) }}
{{- include "slipway.settings" (dict "prefix" (printf "SLIPWAY_%s_" (upper .part)) "settings" $own.settings) }}
{{- with $own.env }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "slipway.environment.gateway" -}}
{{- $values := .root.Values }}
- name: SLIPWAY_GATEWAY_HOST
  value: 0.0.0.0
- name: SLIPWAY_GATEWAY_PORT
  value: "8000"
- name: SLIPWAY_GATEWAY_PUBLIC_URL
  value: {{ required "publicUrl is where people reach the platform, such as https://slipway.example.com" $values.publicUrl | quote }}
- name: SLIPWAY_GATEWAY_TRACES_URL
  value: {{ $values.tracesUrl | quote }}
- name: SLIPWAY_GATEWAY_FORGE_URL
  value: {{ $values.github.url | quote }}
- name: SLIPWAY_GATEWAY_ORGANISATION
  value: {{ required "github.organisation is where repositories are made" $values.github.organisation | quote }}
- name: SLIPWAY_GATEWAY_ENVIRONMENTS_REPOSITORY
  value: {{ $values.github.environmentsRepository | quote }}
- name: SLIPWAY_GATEWAY_PLATFORM_LOGIN
  value: {{ $values.github.platformLogin | quote }}
- name: SLIPWAY_GATEWAY_ADMIN_TOKEN_FILE
  value: {{ .keys }}/admin.token
- name: SLIPWAY_GATEWAY_WEBHOOKS_KEY_FILE
  value: {{ .keys }}/webhooks.key
{{- if $values.github.webhooks }}
- name: SLIPWAY_GATEWAY_WEBHOOK_SECRET_FILE
  value: {{ .keys }}/github-webhook.secret
- name: SLIPWAY_GATEWAY_GITHUB_WEBHOOK_SECRET_FILE
  value: {{ .keys }}/github-webhook.secret
{{- end }}
{{- if $values.people.issuer }}
- name: SLIPWAY_GATEWAY_ISSUER
  value: {{ $values.people.issuer | quote }}
- name: SLIPWAY_GATEWAY_ISSUER_LABEL
  value: {{ $values.people.label | quote }}
- name: SLIPWAY_GATEWAY_CLIENT_ID
  value: {{ required "people.clientId is what the OpenID provider calls this platform" $values.people.clientId | quote }}
{{- if not $values.people.publicClient }}
- name: SLIPWAY_GATEWAY_CLIENT_SECRET_FILE
  value: {{ .keys }}/oidc-client.secret
{{- end }}
{{- end }}
{{- if $values.clusterAccess.url }}
- name: SLIPWAY_GATEWAY_OPENBAO_URL
  value: {{ $values.openbao.address | quote }}
{{- if $values.openbao.caConfigMap }}
- name: SLIPWAY_GATEWAY_OPENBAO_CA_FILE
  value: /srv/slipway/etc/openbao/ca.crt
{{- end }}
{{- end }}
{{- if $values.policy }}
- name: SLIPWAY_GATEWAY_POLICY_FILE
  value: /srv/slipway/etc/policy/policy.yaml
{{- end }}
{{- end }}

{{- define "slipway.environment.catalog" -}}
{{- end }}

{{- define "slipway.environment.provisioner" -}}
{{- $values := .root.Values }}
- name: SLIPWAY_PROVISIONER_REPOSITORY_URL
  value: {{ printf "%s/%s.git" $values.github.url $values.github.environmentsRepository | quote }}
- name: SLIPWAY_PROVISIONER_REPOSITORY_USER
  value: {{ $values.github.platformLogin | quote }}
- name: SLIPWAY_PROVISIONER_REPOSITORY_TOKEN_FILE
  value: {{ .keys }}/github.token
- name: SLIPWAY_PROVISIONER_FORGE_URL
  value: {{ $values.github.url | quote }}
- name: SLIPWAY_PROVISIONER_DATA_DIRECTORY
  value: /srv/slipway/data/terraform
- name: SLIPWAY_PROVISIONER_SOCKETS_DIRECTORY
  value: /run/slipway/sockets
- name: SLIPWAY_PROVISIONER_TERRAFORM
  value: python -I /srv/slipway/app/deploy/embedded/terraform.py
- name: SLIPWAY_PROVISIONER_TARGET
  value: {{ $values.provisioner.target }}
- name: SLIPWAY_PROVISIONER_STATE_BUCKET
  value: {{ $values.provisioner.stateBucket | quote }}
- name: SLIPWAY_PROVISIONER_TERRAFORM_PASSES
  value: {{ toJson $values.provisioner.terraformPasses | quote }}
{{- if $values.provisioner.inCluster }}
- name: SLIPWAY_PROVISIONER_KUBERNETES_IN_CLUSTER
  value: "true"
{{- end }}
{{- if eq $values.provisioner.target "aws" }}
{{- $_ := required "provisioner.aws says what the shared parts on AWS are: deploy/terraform/aws/README.md" (values $values.provisioner.aws | first) }}
- name: SLIPWAY_PROVISIONER_AWS
  value: {{ toJson $values.provisioner.aws | quote }}
- name: AWS_REGION
  value: {{ $values.provisioner.aws.region | quote }}
{{- end }}
{{- end }}

{{- define "slipway.environment.secrets" -}}
{{- $values := .root.Values }}
- name: SLIPWAY_SECRETS_OPENBAO_URL
  value: {{ required "openbao.address is where OpenBao is, such as https://openbao.openbao:8200" $values.openbao.address | quote }}
- name: SLIPWAY_SECRETS_ROLE_ID_FILE
  value: {{ .keys }}/openbao.role-id
- name: SLIPWAY_SECRETS_SECRET_ID_FILE
  value: {{ .keys }}/openbao.secret-id
{{- if $values.openbao.caConfigMap }}
- name: SLIPWAY_SECRETS_OPENBAO_CA_FILE
  value: /srv/slipway/etc/openbao/ca.crt
{{- end }}
{{- if include "slipway.ownInstances" .root }}
- name: SLIPWAY_SECRETS_FIRST_LOGINS
  value: aws
- name: SLIPWAY_SECRETS_INSTANCE_CA_FILE
  value: /srv/slipway/etc/instances/ca.crt
{{- with $values.ownInstances.openbaoCaFile }}
- name: SLIPWAY_SECRETS_OPENBAO_INSTANCE_CA_FILE
  value: {{ . | quote }}
{{- end }}
{{- end }}
{{- with $values.clusterAccess.url }}
- name: SLIPWAY_SECRETS_CLUSTER_URL
  value: {{ . | quote }}
{{- end }}
{{- if and $values.clusterAccess.url $values.clusterAccess.caConfigMap }}
- name: SLIPWAY_SECRETS_CLUSTER_CA_FILE
  value: /srv/slipway/etc/cluster/ca.crt
{{- end }}
{{- end }}

{{- define "slipway.environment.cicd" -}}
{{- $values := .root.Values }}
- name: SLIPWAY_CICD_FORGE_URL
  value: {{ $values.github.apiUrl | quote }}
- name: SLIPWAY_CICD_PLATFORM_URL
  value: {{ $values.publicUrl | quote }}
{{- if $values.github.app.id }}
- name: SLIPWAY_CICD_GITHUB_APP_ID
  value: {{ int $values.github.app.id | quote }}
- name: SLIPWAY_CICD_GITHUB_APP_INSTALLATION_ID
  value: {{ int $values.github.app.installationId | quote }}
- name: SLIPWAY_CICD_GITHUB_APP_PRIVATE_KEY_FILE
  value: {{ .keys }}/github-app.pem
{{- else }}
- name: SLIPWAY_CICD_FORGE_TOKEN_FILE
  value: {{ .keys }}/github.token
{{- end }}
{{- end }}

{{- define "slipway.environment.notifier" -}}
{{- $values := .root.Values }}
- name: SLIPWAY_NOTIFIER_PLATFORM_URL
  value: {{ $values.publicUrl | quote }}
- name: SLIPWAY_NOTIFIER_SLACK_TOKEN_FILE
  value: {{ .keys }}/slack.token
- name: SLIPWAY_NOTIFIER_WEBHOOKS_KEY_FILE
  value: {{ .keys }}/webhooks.key
- name: SLIPWAY_NOTIFIER_READERS_FILE
  value: /srv/slipway/etc/readers/readers.json
{{- end }}

{{/* libpq takes the system's authorities for `verify-full` alone. */}}
{{- define "slipway.postgres.tls" -}}
sslmode={{ .sslMode }}
{{- if .caConfigMap }}&sslrootcert=/srv/slipway/etc/postgres/ca.crt
{{- else if eq .sslMode "verify-full" }}&sslrootcert=system
{{- end }}
{{- end }}

{{/* What a service and the one that brings its schema up to date need of the database. */}}
{{- define "slipway.environment.database" -}}
{{- $postgres := .root.Values.postgres -}}
- name: SLIPWAY_DATABASE_URL
  value: {{ printf "postgresql://slipway_%s@%s:%d/%s?%s" .part (required "postgres.host is where the database server is" $postgres.host) (int $postgres.port) $postgres.database (include "slipway.postgres.tls" $postgres) | quote }}
- name: SLIPWAY_DATABASE_PASSWORD_FILE
  value: /srv/slipway/keys/postgres.password
{{- if and (not $postgres.caConfigMap) (eq $postgres.sslMode "verify-full") }}
# libpq comes in a wheel and does not know where this image has its authorities.
- name: SSL_CERT_FILE
  value: /etc/ssl/certs/ca-certificates.crt
{{- end }}
{{- end }}

{{/* The ConfigMap with the certificates of environments' own database instances; empty where no kind has one. */}}
{{- define "slipway.ownInstances" -}}
{{- if dig "own_database_kinds" (list "production") .Values.provisioner.aws }}
{{- required "ownInstances.caConfigMap holds the certificate bundle of RDS, for environments with a database instance of their own; provisioner.aws.own_database_kinds: [] gives nobody one" (or .Values.ownInstances.caConfigMap .Values.postgres.caConfigMap) }}
{{- end }}
{{- end }}
