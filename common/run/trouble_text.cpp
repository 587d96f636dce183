// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "common/base/error.h"
#include "common/run/log_reading.h"

namespace yolodist::run {

const char* name_of(Trouble trouble) {
  switch (trouble) {
    case Trouble::device_memory:
      return "device_memory";
    case Trouble::device_memory_in_disguise:
      return "device_memory_in_disguise";
    case Trouble::shared_memory:
      return "shared_memory";
    case Trouble::host_memory:
      return "host_memory";
    case Trouble::disk_full:
      return "disk_full";
    case Trouble::no_driver:
      return "no_driver";
    case Trouble::no_kernel_image:
      return "no_kernel_image";
    case Trouble::label_class:
      return "label_class";
    case Trouble::unused_parameters:
      return "unused_parameters";
    case Trouble::yolodist_error:
      return "yolodist_error";
    case Trouble::wrapped_replica:
      return "wrapped_replica";
    case Trouble::collective_timeout:
      return "collective_timeout";
    case Trouble::nccl_error:
      return "nccl_error";
  }
  throw InternalError("a trouble without a name");
}

Explanation explanation_of(Trouble trouble) {
  switch (trouble) {
    case Trouble::device_memory:
      return {"The GPU's memory ran out.",
              "Recompute activations, smaller groups on each GPU, or more GPUs keep the result; a smaller "
              "batch or side changes "
              "it. yolodist plan shows what fits before anything starts."};
    case Trouble::device_memory_in_disguise:
      return {
          "Most likely the GPU's memory ran out: cuDNN and cuBLAS say so when they get none for themselves.",
          "As for out of memory. If it also happens with one small picture, driver and CUDA version do not "
          "match: see "
          "yolodist doctor."};
    case Trouble::shared_memory:
      return {"/dev/shm, through which data-loading processes hand over pictures, is full or too small.",
              "Make it larger (docker: --shm-size 8g or --ipc=host). yolodist decodes in threads and needs "
              "no /dev/shm for "
              "pictures, unless --cache ram puts them there."};
    case Trouble::host_memory:
      return {
          "The host's memory ran out: the kernel or the scheduler killed a process, or an allocation failed.",
          "Give the job more memory, use fewer loading processes, do not cache pictures in RAM. One cache a "
          "host is enough "
          "for all ranks of yolodist (--cache disk needs no RAM)."};
    case Trouble::disk_full:
      return {"The disk is full, or the quota is used up.",
              "Make room, or write the run elsewhere (--project)."};
    case Trouble::no_driver:
      return {"There is no working NVIDIA driver, or it is too old for this CUDA.",
              "nvidia-smi must work on this host (in a container: --gpus all). See yolodist doctor."};
    case Trouble::no_kernel_image:
      return {"The installed PyTorch was not built for this GPU's generation.",
              "Install one that is (its wheel names the CUDA version); memory has nothing to do with it."};
    case Trouble::label_class:
      return {
          "An index was out of range on the GPU: as a rule a label with a class number above nc of the data "
          "yaml.",
          "yolodist checks every label before it starts and names file and line."};
    case Trouble::unused_parameters:
      return {
          "DistributedDataParallel waited for gradients that some rank never made: its forward did not use "
          "every "
          "parameter, or a rank took another way.",
          "yolodist has no such condition: a rank without pictures takes part in every sum."};
    case Trouble::yolodist_error:
      return {"yolodist ended with an error.", "yolodist diagnose RUN on its run directory says more."};
    case Trouble::wrapped_replica:
      return {
          "DataParallel (one process, several GPUs) repeats what a thread threw; device 0 is only the first "
          "that it "
          "looked at.",
          "The cause stands in the lines below that one."};
    case Trouble::collective_timeout:
      return {"NCCL waited in vain for another rank: one of them ended, hangs, or took another way.",
              "The cause is on the rank that did not come: look at its log just before."};
    case Trouble::nccl_error:
      return {"NCCL failed: as a rule another rank ended, or there was no memory left for its buffers.",
              "Look at the other ranks' logs just before."};
  }
  throw InternalError("a trouble without an explanation");
}

}  // namespace yolodist::run
