"""Quotes of market makers as the papers write them, in 50 digits."""

from __future__ import annotations

from decimal import Decimal, localcontext

DIGITS = 50


def avellaneda_stoikov(mid: float, units: float, left: float, gamma: float, sigma: float, k: float,
                       fee: float = 0.0) -> tuple[float, float]:
    """Bid and ask: s - q gamma sigma^2 (T - t) -+ half of gamma sigma^2 (T - t) + (2 / gamma) ln(1 + gamma / k)."""
    with localcontext() as context:
        context.prec = DIGITS
        s, q, t, g, v, kk, f = map(Decimal, (mid, units, left, gamma, sigma, k, fee))
        price = s - q * g * v * v * t
        spread = g * v * v * t + 2 / g * (1 + g / kk).ln() + 2 * f
        return float(price - spread / 2), float(price + spread / 2)


def glft(mid: float, units: float, gamma: float, sigma: float, a: float, k: float,
         fee: float = 0.0) -> tuple[float, float]:
    """Bid and ask of the closed-form approximations, for a rate of a exp(-k (d - fee)) at a distance of d."""
    with localcontext() as context:
        context.prec = DIGITS
        s, q, g, v, aa, kk, f = map(Decimal, (mid, units, gamma, sigma, a, k, fee))
        aa = aa * (-kk * f).exp()
        base = (1 + g / kk).ln() / g + f
        root = (v * v * g / (2 * kk * aa) * (1 + g / kk) ** (1 + kk / g)).sqrt()
        return float(s - base - (2 * q + 1) / 2 * root), float(s + base - (2 * q - 1) / 2 * root)
