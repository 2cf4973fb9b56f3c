#include "cli/profile_merge.hpp"

#include <cleave/table/files.hpp>
#include <cleave/table/merge.hpp>

#include <algorithm>
#include <cstdio>
#include <iostream>

namespace cleave::cli {
namespace {

using core::Errc;
using core::fail;

core::Result<std::vector<std::size_t>> indices_of(const std::vector<std::string>& chosen,
                                                  const std::vector<std::string>& inputs,
                                                  const char* option) {
  std::vector<std::size_t> out;
  for (const std::string& file : chosen) {
    const auto found = std::find(inputs.begin(), inputs.end(), file);
    if (found == inputs.end())
      return fail(Errc::invalid_argument, file + " is none of the profiles to merge", option,
                  "name it after --merge, too");
    out.push_back(static_cast<std::size_t>(found - inputs.begin()));
  }
  return out;
}

}  // namespace

CLI::Option* add_merge_options(CLI::App& app, MergeFiles& files) {
  CLI::Option* merge =
      app.add_option("--merge", files.inputs,
                     "Measure nothing: make one profile of several of one model. What was measured "
                     "on one machine is pooled")
          ->expected(2, 1000)
          ->type_name("A B ...");
  const auto add = [&](const char* name, std::vector<std::string>& chosen, const char* text) {
    app.add_option(name, chosen, text)->expected(1, 1000)->type_name("A ...")->needs(merge);
  };
  add("--edge-from", files.edge, "Of --merge, those whose edge's half counts (all)");
  add("--cloud-from", files.cloud, "Of --merge, those whose cloud's half counts (all)");
  add("--link-from", files.link,
      "Of --merge, those whose link and radio count (those that give both halves)");
  return merge;
}

core::Result<void> merge_profiles(const MergeFiles& files, const std::string& out, bool json) {
  if (out.empty())
    return fail(Errc::invalid_argument, "--output is required", "--merge", "name it with -o");
  std::vector<table::MergeInput> inputs;
  for (const std::string& file : files.inputs) {
    auto profile = table::load_profile(file);
    if (!profile)
      return fail(profile);
    inputs.push_back({file, std::move(*profile)});
  }
  table::MergeChoice choice;
  for (const auto& [option, chosen, indices] :
       {std::tuple("--edge-from", &files.edge, &choice.edge),
        std::tuple("--cloud-from", &files.cloud, &choice.cloud),
        std::tuple("--link-from", &files.link, &choice.link)}) {
    auto found = indices_of(*chosen, files.inputs, option);
    if (!found)
      return fail(found);
    *indices = std::move(*found);
  }
  const auto merged = table::merge(inputs, choice);
  if (!merged)
    return fail(merged);
  if (auto saved = table::save(merged->profile, out); !saved)
    return saved;
  if (json) {
    std::cout << table::to_json(merged->profile) << '\n';
    return {};
  }
  for (const std::string& note : merged->notes) std::printf("%s\n", note.c_str());
  std::printf("wrote %s\n", out.c_str());
  return {};
}

}  // namespace cleave::cli
