"""Card transactions with known fraud, generated: seeded, of any size, in bounded memory.

The model is the one that the Fraud Detection Handbook describes in its chapter on the simulated
data set (Le Borgne, Siblini, Lebichot, Bontempi, 2022), with countries, coordinates, currencies
and channels besides.
"""

from __future__ import annotations

from headrace_batch.simulator.config import SimulationConfig, config_for_rows
from headrace_batch.simulator.generate import Simulation, simulate, simulate_batches

__all__ = [
    "Simulation",
    "SimulationConfig",
    "config_for_rows",
    "simulate",
    "simulate_batches",
]
