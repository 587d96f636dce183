# SPDX-FileCopyrightText: 2026 the yolodist authors
# SPDX-License-Identifier: Apache-2.0
"""A few steps of the product on a card, with gradients by NCCL, and the way of a checkpoint from card to CPU and back."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from on_device import DEVICE, ON_CARD, DeviceTest, product  # noqa: E402

# Smaller where the CPU is in the card's place, which is to be quick.
WORDS = ["--img", "160" if ON_CARD else "64", "--noautoanchor", "--accumulate", "1", "--no-augment", "--epochs", "4"]
# Of a loss, after a few steps: the sums are made in other orders. In fp16 they also have ten bits.
NEAR, NEAR_HALF = 1e-2, 5e-2


class TrainingOnDevice(DeviceTest):
    def test_losses_are_those_of_the_cpu(self):
        _, on_cpu = self.train("cpu", *WORDS, "--precision", "fp32", "--max-steps", "6", device="cpu")
        for precision, near in (("fp32", NEAR), ("fp16", NEAR_HALF)):
            with self.subTest(precision=precision):
                _, run = self.train(precision, *WORDS, "--precision", precision, "--max-steps", "6")
                self.assert_near(product.losses(run), product.losses(on_cpu), near)

    def test_a_checkpoint_goes_on_elsewhere(self):
        """On the CPU with one of the card, on the card with one of the CPU; in the middle of an epoch."""
        _, whole = self.train("whole", *WORDS, "--precision", "fp32", "--max-steps", "6", device="cpu")
        for name, first, second in (("from-device", DEVICE, "cpu"), ("to-device", "cpu", DEVICE)):
            with self.subTest(first=first, second=second):
                _, run = self.train(name, *WORDS, "--precision", "fp32", "--max-steps", "4", device=first)
                process = product.run([product.YOLODIST, "train", "--resume", run, "--device", second, "--max-steps", "6"],
                                      self.folder, timeout=240)
                self.expect(process, 0)
                self.assertEqual([row["iteration"] for row in product.iterations(run)], list(range(6)))
                self.assert_near(product.losses(run), product.losses(whole), NEAR)


if __name__ == "__main__":
    product.main()
