"""The composition root: settings, adapters, handlers, service. Nothing connects before it runs."""

import os

from chassis.questions import answer_all
from chassis.service import Service
from chassis.settings import ChassisSettings
from chassis.step_log import StepLog
from contracts.clusters import RequestNamespaceAccess
from services.secrets.adapters.aws import AwsFirstLogins
from services.secrets.adapters.clusters import OpenBaoClusters
from services.secrets.adapters.instances import PostgresInstances
from services.secrets.adapters.log import LogHistory
from services.secrets.adapters.openbao import OpenBao
from services.secrets.adapters.vault import OpenBaoVault
from services.secrets.handlers import Handlers
from services.secrets.handlers.doorkeeper import Doorkeeper
from services.secrets.handlers.own_instances import OwnInstances
from services.secrets.settings import SecretsSettings
from services.secrets.subscriptions import subscriptions


def main() -> None:
    """Run until told to stop."""
    service = Service("secrets", ChassisSettings())
    settings = SecretsSettings()
    openbao = OpenBao(
        settings.openbao_url,
        role_id_file=settings.role_id_file,
        secret_id_file=settings.secret_id_file,
        ca_file=settings.openbao_ca_file,
        parallel_calls=settings.parallel_calls,
    )
    service.checks["openbao"] = openbao.check
    service.alongside("openbao login", openbao.stay_logged_in)
    service.at_close(openbao.close)
    ca_file = settings.instance_ca_file if settings.instance_tls == "verify-full" else None
    vault = OpenBaoVault(
        openbao,
        database_connection=settings.database_connection,
        people_mounts=settings.people_mounts,
        instance_tls=settings.instance_tls,
        instance_ca_file=settings.openbao_instance_ca_file,
    )
    log = StepLog(service.bus, "secrets", service.clock)
    own_instances = None
    if settings.first_logins == "aws":
        own_instances = OwnInstances(vault, AwsFirstLogins(os.environ), PostgresInstances(ca_file))
    handlers = Handlers(vault=vault, history=LogHistory(service.bus), journal=log, own_instances=own_instances)
    doorkeeper = Doorkeeper(vault, _clusters(openbao, settings))
    service.prepare(
        lambda: answer_all(service.bus, service.name, {RequestNamespaceAccess: doorkeeper.namespace_access})
    )
    service.subscribe(subscriptions(handlers), on_waiting=log.waiting)
    service.run()


def _clusters(openbao: OpenBao, settings: SecretsSettings) -> OpenBaoClusters | None:
    if not settings.cluster_url:
        return None
    ca = settings.cluster_ca_file.read_text(encoding="ascii") if settings.cluster_ca_file is not None else ""
    return OpenBaoClusters(
        openbao,
        server=settings.cluster_url,
        certificate_authority=ca,
        path=settings.cluster_login_path,
        audience=settings.cluster_audience,
        token_seconds=settings.cluster_token_seconds,
    )
