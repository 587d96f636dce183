#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 the yolodist authors
# SPDX-License-Identifier: Apache-2.0
"""Fails when a program calls an MPI function that is not in MPI 3.0, so that any site's MPI can run it.

usage: check_mpi.py PROGRAM...     reads the undefined symbols with nm (binutils)
"""
import re
import subprocess
import sys

# Functions of MPI 3.0: point to point, datatypes, collectives, groups, errors, information, start and end. Left out are
# what no room of the launcher has to do with (windows, files, topologies, spawning, tools) and what 3.0 removed.
# Source: MPI: A Message-Passing Interface Standard, version 3.0, annex A.2.
MPI_3_0 = """
Bsend Bsend_init Buffer_attach Buffer_detach Cancel Get_count Ibsend Improbe Imrecv Iprobe Irecv Irsend Isend Issend
Mprobe Mrecv Probe Recv Recv_init Request_free Request_get_status Rsend Rsend_init Send Send_init Sendrecv
Sendrecv_replace Ssend Ssend_init Start Startall Test Test_cancelled Testall Testany Testsome Wait Waitall Waitany
Waitsome
Get_address Get_elements Get_elements_x Pack Pack_external Pack_external_size Pack_size Type_commit Type_contiguous
Type_create_darray Type_create_hindexed Type_create_hindexed_block Type_create_hvector Type_create_indexed_block
Type_create_resized Type_create_struct Type_create_subarray Type_dup Type_free Type_get_contents Type_get_envelope
Type_get_extent Type_get_extent_x Type_get_true_extent Type_get_true_extent_x Type_indexed Type_size Type_size_x
Type_vector Unpack Unpack_external
Allgather Allgatherv Allreduce Alltoall Alltoallv Alltoallw Barrier Bcast Exscan Gather Gatherv Iallgather Iallgatherv
Iallreduce Ialltoall Ialltoallv Ialltoallw Ibarrier Ibcast Iexscan Igather Igatherv Ireduce Ireduce_scatter
Ireduce_scatter_block Iscan Iscatter Iscatterv Op_commutative Op_create Op_free Reduce Reduce_local Reduce_scatter
Reduce_scatter_block Scan Scatter Scatterv
Comm_compare Comm_create Comm_create_group Comm_create_keyval Comm_delete_attr Comm_dup Comm_dup_with_info Comm_free
Comm_free_keyval Comm_get_attr Comm_get_info Comm_get_name Comm_group Comm_idup Comm_rank Comm_remote_group
Comm_remote_size Comm_set_attr Comm_set_info Comm_set_name Comm_size Comm_split Comm_split_type Comm_test_inter
Group_compare Group_difference Group_excl Group_free Group_incl Group_intersection Group_range_excl Group_range_incl
Group_rank Group_size Group_translate_ranks Group_union Intercomm_create Intercomm_merge
Abort Add_error_class Add_error_code Add_error_string Alloc_mem Comm_call_errhandler Comm_create_errhandler
Comm_get_errhandler Comm_set_errhandler Errhandler_free Error_class Error_string Finalize Finalized Free_mem
Get_library_version Get_processor_name Get_version Init Initialized Wtick Wtime
Info_create Info_delete Info_dup Info_free Info_get Info_get_nkeys Info_get_nthkey Info_get_valuelen Info_set
Init_thread Is_thread_main Query_thread
Status_set_cancelled Status_set_elements Status_set_elements_x Grequest_complete Grequest_start
""".split()


def newer_calls(nm_text):
    """The MPI functions among nm's lines, and those of them that MPI 3.0 does not have."""
    called = sorted(set(re.findall(r"\bU (P?MPIX?_\w+)", nm_text)))
    known = {f"MPI_{name}" for name in MPI_3_0}
    return called, [name for name in called if name not in known]


def undefined_symbols(program):
    return subprocess.run(["nm", "--dynamic", "--undefined-only", program], check=True, text=True,
                          stdout=subprocess.PIPE).stdout


def main():
    if len(sys.argv) < 2:
        print(__doc__, file=sys.stderr)
        return 64
    failed = False
    for program in sys.argv[1:]:
        called, newer = newer_calls(undefined_symbols(program))
        for name in newer:
            print(f"{program}: calls {name}, which is not in MPI 3.0 (or not in the list of tools/check_mpi.py)")
        print(f"check_mpi: {program} calls {len(called)} functions of MPI, {len(newer)} problems")
        # A program that calls none was built in a way that this cannot see (MPI linked statically).
        failed = failed or bool(newer) or not called
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
