"""core.verification.Agreement over vodozemac. matrix-nio's own cannot interoperate (matrix-nio#572)."""

from __future__ import annotations

import vodozemac


class SasAgreement:
    """An ephemeral Curve25519 key, for one verification."""

    def __init__(self) -> None:
        self._sas = vodozemac.Sas()
        self.public_key: str = self._sas.public_key.to_base64()

    def agree(self, their_key: str) -> SasSecret:
        """ValueError if theirs is no key, or one that gives nothing secret."""
        return SasSecret(self._sas.diffie_hellman(vodozemac.Curve25519PublicKey.from_base64(their_key)))


class SasSecret:
    """The secret that both sides have computed."""

    def __init__(self, established: vodozemac.EstablishedSas) -> None:
        self._established = established

    def emoji_indices(self, info: str) -> tuple[int, ...]:
        return tuple(self._established.bytes(info).emoji_indices)

    def decimals(self, info: str) -> tuple[int, int, int]:
        first, second, third = self._established.bytes(info).decimals
        return first, second, third

    def mac(self, text: str, info: str) -> str:
        return str(self._established.calculate_mac(text, info))
