#include "lib/model/zoo_networks.hpp"
#include "lib/model/zoo_torch.hpp"

#include <cleave/model/torch.hpp>
#include <cleave/model/zoo.hpp>

#include <exception>
#include <string>
#include <utility>
#include <vector>

namespace cleave::inline v0::model {

namespace {

struct Recipe {
  ZooEntry entry;
  zoo_detail::Module (*build)(std::uint64_t seed);
};

std::vector<Recipe> recipes() {
  return {
      {{"vgg16",
        "VGG16, 16 plain layers, 1000 classes",
        {1, 3, 224, 224},
        true,
        1000,
        138357544,
        "Simonyan and Zisserman 2014 (configuration D); count of torchvision's vgg16"},
       zoo_detail::vgg16},
      {{"resnet50",
        "ResNet50, bottleneck residual blocks, 1000 classes",
        {1, 3, 224, 224},
        true,
        1000,
        25557032,
        "He et al. 2015, with the stride in the 3x3 convolution; count of torchvision's resnet50"},
       zoo_detail::resnet50},
      {{"mobilenet_v2",
        "MobileNetV2, width 1.0, inverted residuals, 1000 classes",
        {1, 3, 224, 224},
        true,
        1000,
        3504872,
        "Sandler et al. 2018; count of torchvision's mobilenet_v2"},
       zoo_detail::mobilenet_v2},
      {{"vit_b_16",
        "ViT-B/16, vision transformer, 1000 classes",
        {1, 3, 224, 224},
        false,
        1000,
        86567656,
        "Dosovitskiy et al. 2020; count of torchvision's vit_b_16"},
       zoo_detail::vit_b_16},
      {{"googlenet",
        "GoogLeNet with batch normalisation, no auxiliary classifiers, 1000 classes",
        {1, 3, 224, 224},
        true,
        1000,
        6624904,
        "Szegedy et al. 2014; count of torchvision's googlenet with aux_logits=False"},
       zoo_detail::googlenet},
      {{"fashion_residual",
        "small residual classifier for 112x112 grey images, 10 classes",
        {1, 1, 112, 112},
        true,
        10,
        1121882,
        "cleave's own, see data/models/README.md"},
       zoo_detail::fashion_residual},
  };
}

core::Result<Recipe> find(std::string_view name) {
  std::string names;
  for (Recipe& recipe : recipes()) {
    if (recipe.entry.name == name)
      return std::move(recipe);
    names += (names.empty() ? "" : ", ") + recipe.entry.name;
  }
  return core::fail(core::Errc::not_found, "no such network in the zoo", std::string(name),
                    "there are " + names);
}

core::Result<torch::jit::Module> make(const Recipe& recipe, std::uint64_t seed) {
  try {
    return recipe.build(seed);
  } catch (const std::exception& e) {
    return core::fail(core::Errc::internal, e.what(), "building " + recipe.entry.name);
  }
}

}  // namespace

std::vector<ZooEntry> zoo() {
  std::vector<ZooEntry> entries;
  for (const Recipe& recipe : recipes()) entries.push_back(recipe.entry);
  return entries;
}

core::Result<torch::jit::Module> make_zoo_module(std::string_view name, std::uint64_t seed) {
  const auto recipe = find(name);
  if (!recipe)
    return core::fail(recipe);
  return make(*recipe, seed);
}

core::Result<void> build_zoo_model(std::string_view name, std::uint64_t seed,
                                   const std::filesystem::path& out) {
  const auto recipe = find(name);
  if (!recipe)
    return core::fail(recipe);
  const auto module = make(*recipe, seed);
  if (!module)
    return core::fail(module);
  return save_module(*module, {{"x", core::DType::float32, recipe->entry.input}}, out);
}

}  // namespace cleave::inline v0::model
