# SPDX-FileCopyrightText: 2026 the yolodist authors
# SPDX-License-Identifier: Apache-2.0
"""tools/check_layers.py, check_mpi.py and check_sizes.py find what they are there to find."""
import sys
import tempfile
import unittest
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "tools"))
import check_layers  # noqa: E402
import check_mpi  # noqa: E402
import check_sizes  # noqa: E402


class Tree(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.root = Path(self.folder.name)

    def tearDown(self):
        self.folder.cleanup()

    def write(self, path, content):
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(content, encoding="utf-8")


class Layers(Tree):
    def problems(self, path, *includes):
        self.write(path, "".join(f"#include {include}\n" for include in includes))
        return check_layers.check(self.root)[0]

    def test_allows_what_the_table_allows(self):
        self.assertEqual(self.problems("worker/parallel/a.cpp", '"worker/parallel/a.h"', '"worker/comm/c.h"', "<vector>",
                                       '"common/base/error.h"', "<ATen/core/Tensor.h>"), [])
        self.assertEqual(self.problems("worker/train/a.cpp", '"worker/data/a.h"'), [])
        self.assertEqual(self.problems("tests/mpi/a.cpp", "<mpi.h>", '"launcher/mpi/a.h"'), [])

    def test_refuses_a_room_that_looks_up(self):
        self.assertIn("worker/comm/a.h:2", self.problems("worker/comm/a.h", "<vector>", '"worker/train/loop.h"')[0])

    def test_refuses_launcher_and_worker_seeing_each_other(self):
        self.assertEqual(len(self.problems("worker/train/a.cpp", '"launcher/mpi/a.h"')), 1)
        self.assertEqual(len(self.problems("launcher/commands/b.cpp", '"worker/link/a.h"')), 2)

    def test_refuses_outside_headers_where_they_do_not_belong(self):
        for path, include in (("worker/train/a.cpp", "<torch/torch.h>"), ("tests/unit/a.cpp", "<torch/torch.h>"),
                              ("common/base/a.h", "<c10/util/Exception.h>"), ("worker/data/a.cpp", "<ATen/core/Tensor.h>"),
                              ("launcher/cli/a.cpp", "<mpi.h>"), ("worker/comm/other.cpp", "<nccl.h>"),
                              ("worker/train/a.cpp", "<yaml-cpp/yaml.h>"), ("worker/eval/a.cpp", "<opencv2/core.hpp>"),
                              ("common/config/a.cpp", "<boost/program_options.hpp>")):
            with self.subTest(path=path, include=include):
                problems = self.problems(path, include)
                (self.root / path).unlink()
                self.assertEqual(len(problems), 1)

    def test_holds_the_insides_of_libtorch_to_their_room(self):
        for include in ("<torch/csrc/autograd/engine.h>", "<caffe2/serialize/inline_container.h>", "<c10/cuda/CUDAStream.h>",
                        "<c10/core/CPUAllocator.h>"):
            with self.subTest(include=include):
                self.assertIn("internal to LibTorch", self.problems("worker/ops/a.cpp", include)[0])
                (self.root / "worker/ops/a.cpp").unlink()
                self.assertEqual(self.problems("worker/libtorch/a.h", include), [])
        self.assertEqual(self.problems("worker/loss/a.cpp", "<torch/csrc/autograd/custom_function.h>",
                                       "<torch/csrc/autograd/autograd.h>", "<c10/core/GradMode.h>"), [])
        self.assertEqual(self.problems("worker/ops/a.cpp", '"worker/libtorch/autograd.h"'), [])

    def test_refuses_relative_includes_and_unknown_rooms(self):
        self.assertEqual(len(self.problems("worker/train/a.cpp", '"loop.h"')), 1)
        self.assertIn("worker/misc is not in the table", self.problems("worker/misc/a.cpp")[0])


class Sizes(Tree):
    def test_refuses_501_lines(self):
        self.write("worker/a.cpp", "x\n" * 500)
        self.write("worker/data/b.cpp", "x\n" * 501)
        self.write("build/c.cpp", "x\n" * 9999)
        problems, lines_of = check_sizes.check(self.root, {})
        self.assertEqual(len(problems), 1)
        self.assertIn("worker/data/b.cpp: 501 lines", problems[0])
        self.assertEqual(len(lines_of), 2)

    def test_the_list_needs_reasons_and_no_more_than_it_must(self):
        self.write("a.cpp", "x\n" * 501)
        self.write("b.cpp", "x\n")
        self.assertEqual(check_sizes.check(self.root, {"a.cpp": "one table"})[0], [])
        self.assertEqual(len(check_sizes.check(self.root, {"a.cpp": ""})[0]), 1)
        self.assertEqual(len(check_sizes.check(self.root, {"a.cpp": "one table", "b.cpp": "x", "gone.cpp": "x"})[0]), 2)


class MpiCalls(unittest.TestCase):
    def test_allows_mpi_3_0_only(self):
        lines = "                 U MPI_{}\n"
        for name in ("Ibcast", "Improbe", "Comm_split_type", "Get_library_version"):
            self.assertEqual(check_mpi.newer_calls(lines.format(name)), ([f"MPI_{name}"], []))
        # Of MPI 3.1, 4.0, of an extension, and removed by 3.0.
        for name in ("Aint_add", "Session_init", "Bcast_c", "Isendrecv", "Info_get_string", "Address", "Type_struct"):
            self.assertEqual(check_mpi.newer_calls(lines.format(name))[1], [f"MPI_{name}"])
        self.assertEqual(check_mpi.newer_calls(" U MPIX_Comm_shrink\n U ompi_mpi_int\n")[1], ["MPIX_Comm_shrink"])


if __name__ == "__main__":
    unittest.main()
