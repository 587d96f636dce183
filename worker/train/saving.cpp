// SPDX-FileCopyrightText: 2026 the yolodist authors
// SPDX-License-Identifier: Apache-2.0
#include "worker/train/saving.h"

#include <c10/core/GradMode.h>

#include <nlohmann/json.hpp>

#include "common/base/error.h"
#include "common/base/text.h"
#include "common/run/ownership.h"
#include "worker/memory/mark.h"
#include "worker/train/planning.h"

namespace yolodist::train {
namespace {

using checkpoint::NamedTensors;
using nlohmann::json;

NamedTensors named(const model::StateDict& state) {
  NamedTensors tensors;
  for (size_t i = 0; i < state.size(); ++i) {
    tensors.emplace_back(state.entries()[i].name, state[i].detach());
  }
  return tensors;
}

json to_json(const loss::LossItems& items) {
  return {items.box, items.objectness, items.classes};
}

loss::LossItems losses_from(const json& document) {
  return {document.at(0), document.at(1), document.at(2)};
}

json scaler_to_json(const Training& t) {
  if (!t.scaler) {
    return nullptr;
  }
  const optim::GradScaler::State state = t.scaler->state();
  return {{"scale", state.scale}, {"good_steps", state.good_steps}};
}

json state_to_json(const Training& t) {
  const RunState& s = t.state;
  return {{"epoch", s.epoch},
          {"batch", s.batch},
          {"iteration", t.iteration()},
          {"step", s.step},
          {"last_step_iteration", s.last_step_iteration},
          {"ema_updates", t.ema->updates()},
          {"epoch_sum", to_json(s.epoch_sum)},
          {"epoch_iterations", s.epoch_iterations},
          {"best_fitness", s.best_fitness},
          {"stopper", {{"fitness", s.stopper_fitness}, {"epoch", s.stopper_epoch}}},
          {"last_validation",
           {{"precision", s.last_validation.precision},
            {"recall", s.last_validation.recall},
            {"map50", s.last_validation.map50},
            {"map", s.last_validation.map},
            {"losses", to_json(s.last_validation.losses)},
            {"maps", s.last_validation.maps}}},
          {"seconds", s.seconds},
          // What every random number of the run is drawn from; see common/base/philox.h.
          {"random", {{"generator", "philox4x32-10"}, {"seed", t.options.seed}}},
          {"skipped_steps", s.skipped_steps},
          {"skipped_in_a_row", s.skipped_in_a_row},
          // null: trained without one. The key is always there, so that readers need not ask.
          {"scaler", scaler_to_json(t)}};
}

void state_from_json(const json& meta, Training& t) {
  RunState& s = t.state;
  s.epoch = meta.at("epoch");
  s.batch = meta.at("batch");
  s.step = meta.at("step");
  s.last_step_iteration = meta.at("last_step_iteration");
  t.ema->set_updates(meta.at("ema_updates"));
  s.epoch_sum = losses_from(meta.at("epoch_sum"));
  s.epoch_iterations = meta.at("epoch_iterations");
  s.best_fitness = meta.at("best_fitness");
  s.stopper_fitness = meta.at("stopper").at("fitness");
  s.stopper_epoch = meta.at("stopper").at("epoch");
  const json& validation = meta.at("last_validation");
  s.last_validation = {validation.at("precision"),
                       validation.at("recall"),
                       validation.at("map50"),
                       validation.at("map"),
                       losses_from(validation.at("losses")),
                       validation.value("maps", std::vector<double>())};
  s.seconds = meta.at("seconds");
  s.skipped_steps = meta.value("skipped_steps", int64_t{0});
  s.skipped_in_a_row = meta.value("skipped_in_a_row", 0);
  const json scaler = meta.value("scaler", json());
  if (t.scaler && scaler.is_object()) {
    t.scaler->set_state({scaler.at("scale"), scaler.at("good_steps")});
  }
}

// The gradients of an unfinished step have the loss scale of the run that saved them; one that goes on in
// another precision has another, or none.
void rescale_gradients(const json& meta, Training& t) {
  const json scaler = meta.value("scaler", json());
  const double stored = scaler.is_object() ? scaler.at("scale").get<double>() : 1.0;
  const double own = t.scaler ? t.scaler->state().scale : 1.0;
  if (own != stored) {
    for (const at::Tensor& bucket : t.reducer->buckets()) {
      at::Tensor(bucket).mul_(own / stored);
    }
  }
}

// Every live tensor of `to` must be in `from`, with its shape.
void copy_into(const NamedTensors& to, const NamedTensors& from, const std::string& what) {
  std::map<std::string, const at::Tensor*> stored;
  for (const auto& [name, tensor] : from) {
    stored[name] = &tensor;
  }
  for (const auto& [name, tensor] : to) {
    const auto found = stored.find(name);
    if (found == stored.end() || found->second->sizes() != tensor.sizes()) {
      throw DataError(
          cat(what, " has no ", name, " of the model's shape: it is a checkpoint of another model"));
    }
    at::Tensor(tensor).copy_(*found->second);
  }
}

NamedTensors gradients_of(const Training& t) {
  NamedTensors gradients;
  for (const auto& group : t.optimizer->parameters()) {
    for (const optim::Parameter& parameter : group) {
      gradients.emplace_back(parameter.name, parameter.gradient);
    }
  }
  return gradients;
}

void copy_to_host(NamedTensors& tensors) {
  for (auto& [name, tensor] : tensors) {
    tensor = tensor.detach().to(at::kCPU, tensor.scalar_type(), /*non_blocking=*/false, /*copy=*/true,
                                at::MemoryFormat::Contiguous);
  }
}

}  // namespace

checkpoint::Checkpoint state_of(const Training& t, bool with_gradients, Tensors tensors) {
  checkpoint::Checkpoint checkpoint;
  checkpoint.model = named(t.model->state);
  checkpoint.ema = named(t.ema->model().state);
  checkpoint.optimizer = t.optimizer->state();
  if (with_gradients) {
    checkpoint.optimizer["gradient"] = gradients_of(t);
  }
  if (tensors == Tensors::copies) {
    const memory::KindScope staging(memory::Kind::host);
    copy_to_host(checkpoint.model);
    copy_to_host(checkpoint.ema);
    for (auto& [kind, of_kind] : checkpoint.optimizer) {
      copy_to_host(of_kind);
    }
  }
  checkpoint.meta = state_to_json(t);
  checkpoint.meta["program"] = "yolodist";
  checkpoint.meta["hyp"] = config::to_json(t.hyp);
  checkpoint.meta["options"] = config::to_json(t.options);
  checkpoint.meta["names"] = t.data_set.names;
  checkpoint.meta["model_name"] = t.model->spec.name;
  checkpoint.meta["model_yaml"] = t.model->spec.yaml_text;
  checkpoint.meta["strides"] = t.model->spec.strides_px;
  checkpoint.meta["bn_group"] = t.options.bn_group;
  checkpoint.meta["world_size"] = t.world_size;
  checkpoint.meta["precision"] = precision_name(t);
  return checkpoint;
}

void require_ownership(const run::RunDirectory& run, const std::string& token) {
  if (run::is_anothers(run, token)) {
    throw RunTakenOver(
        cat("another job has taken over ", run.root.string(), "; this one writes nothing more there"));
  }
  if (!run::still_ours(run, token)) {
    throw StorageError(cat("cannot read ", run.token_file().string(), ", which says whose run it is"));
  }
}

void collect_gradients(Training& t) {
  t.reducer->finish(Deadline::after(std::chrono::minutes(10)));
  if (!t.is_leader()) {
    t.reducer->zero();
  }
}

void restore(Training& t, const checkpoint::Checkpoint& checkpoint, const std::filesystem::path& file) {
  const c10::NoGradGuard no_grad;
  if (!checkpoint.meta.contains("last_step_iteration")) {
    throw DataError(cat(file.string(), " holds weights but no training state"),
                    "Start from it with --weights instead.");
  }
  copy_into(named(t.model->state), checkpoint.model, file.string());
  copy_into(named(t.ema->model().state), checkpoint.ema, file.string());
  for (const auto& [kind, tensors] : t.optimizer->state()) {
    const auto stored = checkpoint.optimizer.find(kind);
    if (stored == checkpoint.optimizer.end()) {
      throw DataError(cat(file.string(), " has no optimizer state '", kind, "'"));
    }
    copy_into(tensors, stored->second, file.string());
  }
  const auto gradient = checkpoint.optimizer.find("gradient");
  if (gradient != checkpoint.optimizer.end() && t.is_leader()) {
    copy_into(gradients_of(t), gradient->second, file.string());
  }
  try {
    state_from_json(checkpoint.meta, t);
    rescale_gradients(checkpoint.meta, t);
  } catch (const json::exception& failure) {
    throw DataError(cat(file.string(), ": its training state cannot be read: ", failure.what()));
  }
}

int transfer(model::Model& model, const checkpoint::Checkpoint& checkpoint, bool skip_anchors) {
  const c10::NoGradGuard no_grad;
  int taken = 0;
  // Official files that were not stripped are started from by their model, not by its average.
  const bool is_official = checkpoint.meta.value("official", false);
  const NamedTensors& weights =
      is_official ? checkpoint.model : checkpoint::weights_for_inference(checkpoint);
  for (const auto& [name, tensor] : weights) {
    const bool is_anchor = name.find("anchor") != std::string::npos;
    if (!model.state.contains(name) || (is_anchor && skip_anchors)) {
      continue;
    }
    const at::Tensor& own = model.state.at(name);
    if (own.sizes() == tensor.sizes()) {
      at::Tensor(own).copy_(tensor);
      ++taken;
    }
  }
  return taken;
}

}  // namespace yolodist::train
