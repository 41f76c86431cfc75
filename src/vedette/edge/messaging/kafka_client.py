"""What writing to Kafka and reading from it share: how a cluster is named, reached and listened to.

Source: librdkafka's CONFIGURATION.md.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from vedette.contracts.pipeline import KafkaTarget
from vedette.edge.messaging.errors import SinkError

if TYPE_CHECKING:
    from confluent_kafka import KafkaException

RETRY_MOST_MS = 5000
POLL_S = 0.1


def kafka_address(target: KafkaTarget) -> str:
    """`kafka://host:port,.../topic`, without credentials."""
    return f"{'kafkas' if target.tls else 'kafka'}://{','.join(target.brokers)}/{target.topic}"


def connection_settings(target: KafkaTarget, password: str | None) -> dict[str, Any]:
    """librdkafka's settings of where the brokers are and who we are."""
    settings: dict[str, Any] = {
        "bootstrap.servers": ",".join(target.brokers),
        "client.id": "vedette",
        "reconnect.backoff.max.ms": RETRY_MOST_MS,
        "security.protocol": f"{'SASL_' if target.username else ''}{'SSL' if target.tls else 'PLAINTEXT'}",
    }
    if target.username is not None:
        sasl = {"sasl.mechanism": target.mechanism, "sasl.username": target.username, "sasl.password": password or ""}
        settings |= sasl
    return settings


def refused_settings(address: str, error: KafkaException) -> SinkError:
    """What librdkafka has against its settings, in its words."""
    return SinkError(f"{address}: {error.args[0].str().strip()}")


def quiet_log() -> logging.Logger:
    """For what librdkafka logs by itself; `error_cb` says what matters."""
    quiet = logging.getLogger(f"{__name__}.librdkafka")
    quiet.setLevel(logging.CRITICAL)
    return quiet
