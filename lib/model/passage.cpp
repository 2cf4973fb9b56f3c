#include "lib/model/passage.hpp"

#include <algorithm>

namespace cleave::inline v0::model {
namespace {

std::vector<std::string> split(const std::string& path) {
  std::vector<std::string> names;
  std::size_t begin = 0;
  for (std::size_t dot; (dot = path.find('.', begin)) != std::string::npos; begin = dot + 1)
    names.push_back(path.substr(begin, dot - begin));
  names.push_back(path.substr(begin));
  return names;
}

std::string join(const std::vector<std::string>& names, std::size_t from, std::size_t to) {
  std::string path;
  for (std::size_t i = from; i < to; ++i) path += (path.empty() ? "" : ".") + names[i];
  return path;
}

}  // namespace

std::vector<std::uint32_t> live_across(const Plan& plan, const core::StepSet& head) {
  if (std::find(head.begin(), head.end(), true) == head.end())
    return plan.inputs;
  std::vector<bool> read(plan.slots.size(), false);
  for (std::size_t i = 0; i < plan.steps.size(); ++i) {
    if (head[i])
      continue;
    for (const Source& source : plan.steps[i].arguments) {
      if (!source.constant)
        read[source.index] = true;
    }
  }
  for (const std::uint32_t slot : output_slots(plan)) read[slot] = true;
  std::vector<std::uint32_t> live;
  for (std::uint32_t slot = 0; slot < plan.slots.size(); ++slot) {
    const std::int64_t defined = plan.slots[slot].defined;
    if (read[slot] && (defined < 0 || head[static_cast<std::size_t>(defined)]))
      live.push_back(slot);
  }
  return live;
}

Passage passage(const Plan& plan, const core::StepSet& from, const core::StepSet& to,
                const std::vector<std::uint32_t>& kept) {
  Passage result;
  std::size_t arguments = 0;
  for (std::uint32_t i = 0; i < plan.steps.size(); ++i) {
    if (to[i] && !from[i]) {
      result.steps.push_back(i);
      arguments += plan.steps[i].arguments.size();
    }
  }
  result.lets_go.assign(arguments, 0);
  std::vector<bool> needed(plan.slots.size(), false);  // by what comes later
  for (const std::uint32_t slot : kept) needed[slot] = true;
  for (auto step = result.steps.rbegin(); step != result.steps.rend(); ++step) {
    const auto& sources = plan.steps[*step].arguments;
    for (auto source = sources.rbegin(); source != sources.rend(); ++source) {
      --arguments;
      if (source->constant || needed[source->index])
        continue;
      result.lets_go[arguments] = 1;
      needed[source->index] = true;
    }
  }
  return result;
}

std::vector<std::uint32_t> output_slots(const Plan& plan) {
  std::vector<std::uint32_t> slots;
  for (const Source& output : plan.outputs) {
    if (!output.constant)
      slots.push_back(output.index);
  }
  return slots;
}

std::string layers_of(const Plan& plan, const std::vector<std::uint32_t>& slots) {
  std::vector<std::vector<std::string>> paths;
  for (const std::uint32_t slot : slots) {
    const std::int64_t defined = plan.slots[slot].defined;
    const std::string layer =
        defined < 0 ? std::string("input") : plan.steps[static_cast<std::size_t>(defined)].layer;
    auto path = split(layer);
    if (!layer.empty() && std::find(paths.begin(), paths.end(), path) == paths.end())
      paths.push_back(std::move(path));
  }
  if (paths.empty())
    return "";
  std::size_t common = 0;
  const auto shared = [&](const std::vector<std::string>& path) {
    return path.size() > common + 1 && path[common] == paths.front()[common];
  };
  while (paths.size() > 1 && std::all_of(paths.begin(), paths.end(), shared)) ++common;
  constexpr std::size_t shown = 6;  // more are too many to read
  std::string text = join(paths.front(), 0, common);
  for (std::size_t i = 0; i < std::min(shown, paths.size()); ++i)
    text += (i > 0 ? ", " : text.empty() ? "" : ": ") + join(paths[i], common, paths[i].size());
  if (paths.size() > shown)
    text += " and " + std::to_string(paths.size() - shown) + " more";
  return text;
}

}  // namespace cleave::inline v0::model
