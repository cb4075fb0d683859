"""The variant `torch` of `heat` against the plain way of writing it in torch, interleaved.

    python benchmarks/bench_heat_torch.py                      the ratio, from 5 rounds
    python benchmarks/bench_heat_torch.py --negatives 64 --rounds 11

Plain is what published code does: two `nn.Embedding`, gathered and normalised rows, `bmm` and
Adam. Both do the same updates of 1,024 interactions on data of Gowalla's shape, with the
allocator setting that the workload gives torch. A round is some updates of each.
"""

from __future__ import annotations

import argparse
from statistics import median
from time import perf_counter

from backends._host_device import HostDevice
from harness.allocator import keep_freed_memory
from harness.host import read_cpu

USERS, ITEMS, DIM, BATCH = 29_858, 40_981, 128, 1_024
INTERACTIONS = 100 * BATCH


def main() -> None:
    keep_freed_memory()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--negatives", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--updates", type=int, default=4, help="of each, in a round")
    chosen = parser.parse_args()

    import torch
    from torch import Tensor, nn
    from torch.nn import functional

    from workloads.heat import synthetic, torch_variants
    from workloads.heat.settings import settings
    from workloads.heat.training import training

    told = settings({"dim": DIM, "negatives": chosen.negatives, "margin": 0.6, "weight": 80.0})
    data = synthetic.generate(USERS, ITEMS, INTERACTIONS, seed=0)
    start = training(data, told, seed=0)
    tables = [
        nn.Embedding(len(factors), DIM, _weight=torch.from_numpy(factors.copy()))
        for factors in (start.user_factors, start.item_factors)
    ]
    optimiser = torch.optim.Adam([table.weight for table in tables], lr=told.lr_adam)

    tuned = torch_variants.dense(start, HostDevice("cpu", read_cpu()))
    all_users = torch.from_numpy(data.train_users().copy()).long()
    all_items = torch.from_numpy(data.train_items.copy()).long()

    def plain(users: Tensor, positives: Tensor, negatives: Tensor) -> None:
        items = torch.cat([positives.unsqueeze(1), negatives.view(len(users), -1)], dim=1)
        of_users = functional.normalize(tables[0](users), dim=-1).unsqueeze(-1)
        cosines = torch.bmm(functional.normalize(tables[1](items), dim=-1), of_users).squeeze(-1)
        above = torch.relu(cosines[:, 1:] - told.margin).mean(dim=1)
        loss = (1 - cosines[:, 0] + told.weight * above).mean()
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()

    ratios = []
    for number in range(-1, chosen.rounds):
        times = [perf_counter()]
        for update in (plain, tuned.update):
            for _ in range(chosen.updates):
                some = torch.randint(INTERACTIONS, (BATCH,))
                negatives = torch.randint(ITEMS, (BATCH * chosen.negatives,))
                update(all_users[some], all_items[some], negatives)
            times.append(perf_counter())
        if number < 0:
            continue  # the first fills caches and the heap
        first, second = times[1] - times[0], times[2] - times[1]
        ratios.append(first / second)
        print(
            f"plain {1e3 * first / chosen.updates:.0f} ms an update, "
            f"torch {1e3 * second / chosen.updates:.0f}, ratio {ratios[-1]:.2f}"
        )
    print(f"median ratio {median(ratios):.2f}, least {min(ratios):.2f}")


if __name__ == "__main__":
    main()
