"""The composition root: settings, adapters, handlers, service. Nothing connects before it runs."""

from chassis.service import Service
from chassis.settings import ChassisSettings
from chassis.step_log import StepLog
from services.secrets.adapters.log import LogHistory
from services.secrets.adapters.openbao import OpenBao
from services.secrets.adapters.vault import OpenBaoVault
from services.secrets.handlers import Handlers
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
    vault = OpenBaoVault(
        openbao, database_connection=settings.database_connection, people_mounts=settings.people_mounts
    )
    log = StepLog(service.bus, "secrets", service.clock)
    handlers = Handlers(vault=vault, history=LogHistory(service.bus), journal=log)
    service.subscribe(subscriptions(handlers), on_waiting=log.waiting)
    service.run()
