"""`python forks.py FOLDER` imports the trainer once and forks a process for every run, without the time of imports.

It reads tasks from stdin and writes their results to stdout, one line of JSON each: {"arguments": [...], "processes":
2} runs the command with two processes; {"arguments": [...], "kills": 5} repeats it until it succeeds, after five
kills (SIGKILL) at random moments.
"""

import json
import multiprocessing
import os
import random
import socket
import sys
import time

import torch

import train.__main__ as command
from motion_diffusion.network.text_encoders import text_encoder
from train import model_factory
from train.flops import matmul_rate


def work(arguments, environment):
    os.environ.update(environment)
    sys.argv = ["train", *arguments]
    command.main()


def start(arguments, environment):
    process = multiprocessing.get_context("fork").Process(target=work, args=(arguments, environment))
    process.start()
    return process


def together(arguments, count):
    """Exit codes of `count` processes that train one model together."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    world = {"WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    ranks = [world | {"RANK": str(i), "LOCAL_RANK": str(i)} if count > 1 else {} for i in range(count)]
    running = [start(arguments, rank) for rank in ranks]
    for process in running:
        process.join()
    return [process.exitcode for process in running]


def killed(arguments, kills, longest, moments):
    """Number of kills before it succeeded, and its exit code."""
    count = 0
    while True:
        process = start(arguments, {})
        process.join(moments.uniform(0, longest) if count < kills else None)
        if not process.is_alive():
            return count, process.exitcode
        process.kill()
        process.join()
        count += 1


def main():
    torch.set_num_threads(1)
    model_factory.MEASURED_EXAMPLES = 20
    os.environ["ACCELERATE_USE_CPU"] = "true"
    matmul_rate(torch.device("cpu"), torch.float32)
    text_encoder("static")  # both are cached
    os.chdir(sys.argv[1])
    moments = random.Random(0)
    for line in sys.stdin:
        task = json.loads(line)
        started = time.monotonic()
        if "kills" in task:
            result = killed(task["arguments"], task["kills"], task["longest"], moments)
        else:
            result = together(task["arguments"], task.get("processes", 1))
        print(json.dumps([result, time.monotonic() - started]), flush=True)


if __name__ == "__main__":
    main()
