#!/usr/bin/python3
"""How much machine a shop needs: docs/capacity.md has the model, this evaluates it.

    capacity.py --users 1000000 --events 60 --items 50000 --lists-a-day 5 [...]      --help lists all; --json for programs

Every constant is a measurement of docs/benchmarks.md and docs/capacity.md, and can be given as measured on machines of yours
(make bench-load)."""
import argparse
import json
import math

DAY = 86400
# What SQLite keeps of an event in the table and in the index (user, item, weight, time): the sample shop's 35.1 MB over its 404,909.
EVENT_BYTES = 87
# What a connection and a process take beside the model: SQLite, the extension, a page cache of 2 MB.
PROCESS_BYTES = 30e6
# A node's file stays a file: backups, VACUUM INTO and copies of that size take minutes, not hours.
SHARD_BYTES = 100e9
# What training may take of a night, seconds.
NIGHT = 4 * 3600
# Versions that a process may hold while a new one goes live.
VERSIONS = 2
# Bytes an event takes while a training reads (rec_estimate).
READING_BYTES = 64
# Share of the memory that one job may take; the rest is the file cache's.
MEMORY_SHARE = .7


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    add = lambda name, initial, text: parser.add_argument(f"--{name}", type=type(initial), default=initial, help=text)
    add("users", 1e6, "customers with a history")
    add("events", 60., "events a customer")
    add("items", 50000., "items of the catalogue")
    add("lists-a-day", 5., "lists that a customer is shown a day, on average over all customers")
    add("peak", 4., "the busiest second beside the mean one")
    add("factors", 64., "numbers an item has in the version (ials); for neighbours, twice the neighbours")
    add("cores", 4, "cores of a machine")
    add("memory-gb", 16., "memory of a machine")
    add("processes", 0, "processes that serve on a machine; 0: one a core")
    add("lists-a-core", 5000., "lists that a core answers a second (make bench-load)")
    add("orders-a-second", 200., "events that one file takes a second, each committed by itself (make bench-load)")
    add("events-a-training-second", 150000., "events that a training reads and learns from a second, all cores (rec_estimate)")
    add("load", .6, "share of what a machine can do that is planned for")
    parser.add_argument("--json", action="store_true", help="the numbers as JSON")
    return parser.parse_args()


def evaluate(a):
    processes = a.processes or a.cores
    # Processes share nothing but the file's pages: they scale to the cores, and the rest wait for one.
    lists_a_second = a.lists_a_core * min(processes, a.cores)
    wanted = a.users * a.lists_a_day / DAY * a.peak
    file_bytes = a.users * a.events * EVENT_BYTES
    version_bytes = 4 * a.factors * a.items + 30 * a.items
    process_bytes = PROCESS_BYTES + VERSIONS * 1.5 * version_bytes  # and its codes of a byte
    machine_bytes = processes * process_bytes
    orders = a.users * a.events / (2 * 365 * DAY) * a.peak  # a history of two years
    shards = max(1, math.ceil(file_bytes / SHARD_BYTES), math.ceil(orders / (a.load * a.orders_a_second)))
    machines = math.ceil(wanted / shards / (a.load * lists_a_second)) * shards
    training = a.users * a.events / a.events_a_training_second
    training_bytes = a.users * a.events * READING_BYTES
    usable = MEMORY_SHARE * a.memory_gb * 1e9
    return {"lists_a_second": lists_a_second, "lists_a_second_wanted": wanted, "shards": shards, "machines": machines, "file_gb": file_bytes / shards / 1e9,
            "version_mb": version_bytes / 1e6, "memory_gb_a_machine": machine_bytes / 1e9, "memory_suffices": machine_bytes < usable,
            "orders_a_second": orders, "training_hours": training / 3600, "training_gb": training_bytes / 1e9,
            "training_samples": max(1, math.ceil(training / NIGHT), math.ceil(training_bytes / usable))}


def main():
    a = arguments()
    said = evaluate(a)
    if a.json:
        print(json.dumps(said))
        return
    print(f"{a.users:,.0f} customers, {a.users * a.events:,.0f} events, {a.items:,.0f} items; {said['lists_a_second_wanted']:,.0f} lists in the busiest second")
    print(f"  files      {said['shards']} of {said['file_gb']:,.1f} GB" + ("" if said["shards"] == 1 else ", split by customer"))
    print(f"  machines   {said['machines']} of {a.cores} cores, {said['lists_a_second']:,.0f} lists a second each at full load" +
          ("" if said["machines"] == said["shards"] else "; those beyond one a file serve from replicas"))
    print(f"  memory     {said['memory_gb_a_machine']:.2f} GB a machine beside the file cache" + ("" if said["memory_suffices"] else f": MORE than the {a.memory_gb:g} GB there are; fewer processes"))
    print(f"  version    {said['version_mb']:,.0f} MB; orders {said['orders_a_second']:,.1f} a second at the peak")
    print(f"  training   {said['training_hours']:,.2f} hours and {said['training_gb']:,.1f} GB for all events on one machine" +
          ("" if said["training_samples"] == 1 else f": more than a night or than the memory; train on 1 customer in {said['training_samples']}, or join sums"))


if __name__ == "__main__":
    main()
