"""What all certificates have in common: budgets, smoothing, threshold, value, and their JSON."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any, Self

from hybrid_rs._checks import kind, nonnegative, numbers, probability, require
from hybrid_rs.certificates.deletion import DeletionKernel
from hybrid_rs.certificates.feature_kernel import FeatureKernel
from hybrid_rs.certificates.kernels import AbsorbingKernel, Kernel, UniformKernel, text_budget
from hybrid_rs.certificates.rounding import confidence_text, floored_text

SCHEMA = 4  # of a certificate's JSON; 1 carried no counts, 2 no distance, 3 no second witness
KERNELS = {kind.__name__: kind for kind in (UniformKernel, AbsorbingKernel, FeatureKernel, DeletionKernel)}


class Target:
    """The base of all certificates: dataclasses with ``kernel``, ``d``, ``epsilon``, ``sigma``, ``tau``, ``p_adv``."""

    kernel: Kernel
    d: int
    epsilon: float
    sigma: float
    tau: float
    p_adv: float
    distance: float

    @property
    def certified(self) -> bool:
        """Whether the worst case is at or above the threshold."""
        return self.p_adv >= self.tau

    def to_json(self) -> str:
        """Return the certificate as one line of JSON; ``hybrid-rs verify`` reads files of such lines.

        Example:
            >>> import hybrid_rs as hrs
            >>> made = hrs.certify(0.9995, hrs.AbsorbingKernel(0.25), d=1, epsilon=1.0, sigma=1.0, tau=0.01)
            >>> hrs.Certificate.from_json(made.to_json()) == made
            True
        """
        fields: dict[str, Any] = dataclasses.asdict(self)  # type: ignore[call-overload]
        fields["kernel"] = {"name": type(self.kernel).__name__} | vars(self.kernel)
        fields.get("counts", {}).pop("smoothing", None)  # the certificate itself says both
        return json.dumps({"schema": SCHEMA} | _plain(fields), allow_nan=False)

    @property
    def _claim(self) -> str:
        """Return the statement in words. It also holds for a smaller budget and threshold: these are rounded down."""
        epsilon, value, tau = map(floored_text, (self.epsilon, self.p_adv, self.tau))
        return (
            f"{'certified' if self.certified else 'not certified'} at d = {self.d}, epsilon = {epsilon}: "
            f"p_adv >= {value} against tau = {tau} (smoothed with {self.kernel} and sigma = {self.sigma:g}"
        )

    def _drawn(self, alpha: float, draws: str) -> str:
        """Return words for the confidence, the draws, and the distance of their law from that of the theorem."""
        law = f" within {self.distance:.2g} of the law" if self.distance else ""
        return f"with confidence {confidence_text(alpha)}, {draws}{law}"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read a certificate that :meth:`to_json` wrote; :func:`hybrid_rs.verify` checks its claim.

        Raises:
            ValueError: if the text is not such a certificate, or has another schema.
        """
        kind("text", text, str, "give the line of JSON that to_json wrote")
        try:
            fields = _fields(text, {field.name for field in dataclasses.fields(cls)})  # type: ignore[arg-type]
            cls._restore(fields)
            return cls(**fields)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError(f"text = {text[:80]!r}: not one that to_json wrote ({error})") from error

    @classmethod
    def _restore(cls, fields: dict[str, Any]) -> None:
        """Convert fields in place to types that JSON does not have, such as tuples."""


def check_target(certificate: Any, *more: str) -> int:
    """Refuse a certificate with a field of the wrong type, or outside its range.

    Args:
        certificate: a :class:`Target`.
        more: names of further fields that must be floats.

    Returns:
        d + 1, the number of numbers of edits 0..d.

    Raises:
        ValueError: naming the field.
    """
    for name in ("epsilon", "sigma", "tau", "p_adv", "distance", *more):
        value = getattr(certificate, name)
        require(isinstance(value, float) and value == value, name, value, "give a float that is a number", repr)
    for name in ("tau", "p_adv", "distance"):
        probability(name, getattr(certificate, name))
    nonnegative("epsilon", certificate.epsilon)
    require(certificate.sigma >= 0, "sigma", certificate.sigma, "give a standard deviation")
    require(type(certificate.d) is int, "d", certificate.d, "give a whole number", repr)
    return text_budget("d", certificate.d) + 1


def one_statement(**given: Any) -> tuple[float, ...]:
    """Return the values as floats; each must be a single number, not an array, a text or a truth value.

    Raises:
        ValueError: naming the argument that is not a single number.

    Example:
        >>> one_statement(epsilon=1, sigma=0.5)
        (1.0, 0.5)
    """
    for name, number in given.items():
        require(numbers(name, number).ndim == 0, name, number, "give one number: a certificate is one statement")
    return tuple(map(float, given.values()))


def infinite(value: Any) -> Any:
    """Return the infinity that a string such as "inf" denotes; any other value as it is."""
    return float(value) if value in ("inf", "-inf") else value


def _plain(value: Any) -> Any:
    """Return plain values for JSON; an infinity becomes a string, since JSON has none."""
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return str(value) if isinstance(value, float) and math.isinf(value) else value


def _fields(text: str, names: set[str]) -> dict[str, Any]:
    """Return the fields of a certificate's JSON; they must be exactly ``names``. The kernel is an object."""
    fields = json.loads(text, object_pairs_hook=_once, parse_constant=_no_constant, parse_float=_finite)
    require(isinstance(fields, dict) and "schema" in fields, "schema", None, "there is none")
    schema = fields.pop("schema")
    older = " (an older format with fewer fields: certify again)" if schema in (1, 2, 3) else ""
    known = type(schema) is int and schema == SCHEMA
    require(known, "schema", f"{schema!r}{older}", f"this version reads schema {SCHEMA}")
    missing = names ^ set(fields)
    require(not missing, "fields", sorted(missing), "missing or unknown")
    for name in ("sigma", "log_t"):
        if name in fields and isinstance(fields[name], str):
            fields[name] = infinite(fields[name])
    fields["kernel"] = _kernel(dict(fields["kernel"]))
    return fields


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object as a dict, after checking that no name occurs twice."""
    require(len(dict(pairs)) == len(pairs), "fields", [name for name, _ in pairs], "give each once")
    return dict(pairs)


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not valid JSON")


def _finite(text: str) -> float:
    require(math.isfinite(float(text)), "number", text[:40], "too large for a float")
    return float(text)


def _kernel(law: dict[str, Any]) -> Kernel:
    """Return the kernel that to_json wrote; values are checked, not converted."""
    name, beta = law.pop("name"), law["beta"]
    require(name in KERNELS, "kernel", name, f"give one of {', '.join(KERNELS)}", repr)
    require(isinstance(beta, float), "beta", beta, "give a float", repr)
    whole = [law["vocab_size"]] if "vocab_size" in law else law.get("sizes", [])
    require(all(type(size) is int for size in whole), "kernel", law, "give whole numbers")
    made: Any = KERNELS[name](**law)
    return made
