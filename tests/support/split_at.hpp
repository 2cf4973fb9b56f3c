// A configuration of two stages, for tests of what runs or carries them.
#pragma once

#include <cleave/core/backend.hpp>
#include <cleave/core/configuration.hpp>

#include <string>
#include <utility>
#include <vector>

namespace cleave::tests {

/// The head of `model` up to its `cut`-th cut on the edge at `levels`, the rest in the cloud.
inline core::Configuration split_at(const core::Executable& model, std::size_t cut,
                                    std::string codec = "raw",
                                    std::vector<core::LevelIndex> levels = {}) {
  core::Configuration configuration;
  configuration.stages = {{core::edge_host, model.cuts()[cut].id, std::move(levels)},
                          {core::cloud_host, model.cuts().back().id, {}}};
  configuration.codecs = {std::move(codec)};
  return configuration;
}

}  // namespace cleave::tests
