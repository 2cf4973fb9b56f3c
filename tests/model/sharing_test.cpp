// One copy of the weights, whatever cuts are in use and from however many threads.
#include "lib/model/zoo_torch.hpp"
#include "tests/model/on_device.hpp"

#include <cleave/model/zoo.hpp>

#include <ATen/Parallel.h>
#include <malloc.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <thread>

namespace cleave::test {
namespace {

namespace fs = std::filesystem;

// Resident anonymous memory, bytes; field 2 of /proc/self/statm less field 3 (proc(5)).
double resident() {
  ::malloc_trim(0);
  std::ifstream statm("/proc/self/statm");
  double total = 0, in_memory = 0, shared = 0;
  statm >> total >> in_memory >> shared;
  return (in_memory - shared) * static_cast<double>(::sysconf(_SC_PAGESIZE));
}

TEST(Sharing, AllCutsOfResnet50TakeNoMoreThanASeventhOnTop) {
  const fs::path file =
      fs::temp_directory_path() / ("cleave-sharing-" + std::to_string(::getpid()) + ".pt");
  const auto built = model::build_zoo_model("resnet50", 1, file);
  ASSERT_TRUE(built) << built.error().message();
  model::LoadOptions options;
  options.inputs = {*model::parse_input_spec("1x3x64x64")};
  options.plan_cache = "";
  at::set_num_threads(1);  // kernels, and the order of their weights, are chosen for one thread
  // What libtorch takes once for the process, whatever the model, shows with a small network.
  const auto small = model::make_zoo_module("fashion_residual", 1);
  ASSERT_TRUE(small);
  model::LoadOptions small_options;
  small_options.inputs = {*model::parse_input_spec("1x1x28x28")};
  small_options.plan_cache = "";
  ASSERT_TRUE(model::from_module(*small, "small", small_options));
  const double before = resident();
  const auto loaded = model::load(file, options);
  fs::remove(file);
  ASSERT_TRUE(loaded) << loaded.error().message();
  const model::Model& model = **loaded;
  ASSERT_TRUE(model.set_threads(1));
  const double parameters = static_cast<double>(model.parameter_count()) * sizeof(float);
  const double weights = model.weight_bytes().count();
  EXPECT_LE(weights, 1.12 * parameters);  // packed, some by Winograd's method
  core::Values across = model.example_inputs();
  const auto cuts = model.cuts();
  run(model, cuts.front().id, cuts.back().id, across);
  const double one = resident() - before;
  EXPECT_LE(one, 1.3 * weights) << "there is no second copy of them; the rest is compiled kernels";
  for (std::size_t i = 1; i < cuts.size(); ++i) {
    across = run(model, cuts[i - 1].id, cuts[i].id, across);
    run(model, cuts[i].id, cuts.back().id, across);
  }
  EXPECT_LE(resident() - before, 1.15 * one);
}

using SharingOnDevice = OnDevice;

INSTANTIATE_TEST_SUITE_P(Devices, SharingOnDevice, testing::ValuesIn(devices()), device_name);

TEST_P(SharingOnDevice, ThreadsRunDifferentCutsAtOnce) {
  const auto model = lowered(script(R"(
def forward(self, x):
    for i in range(6):
        x = torch.relu_(torch.matmul(x, self.a))
        x.add_(1)
    return x
)",
                                    {{"a", weights({32, 32})}}),
                             {"4x32"});
  const auto inputs = model->example_inputs();
  ASSERT_TRUE(model->set_threads(1));
  const core::Values whole = run_whole(*model, inputs);
  const auto cuts = model->cuts();
  std::vector<int> wrong(4, 0);
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < wrong.size(); ++t) {
    threads.emplace_back([&, t] {
      if (!model->set_threads(1))
        ++wrong[t];
      for (std::size_t round = 0; round < 200; ++round) {
        const auto& cut = cuts[(t + round) % cuts.size()];
        const auto across = model->run(cuts.front().id, cut.id, inputs);
        const auto outputs = across ? model->run(cut.id, cuts.back().id, *across) : across;
        if (!outputs || !bit_equal(*outputs, whole))
          ++wrong[t];
      }
    });
  }
  for (auto& thread : threads) thread.join();
  for (const int count : wrong) EXPECT_EQ(count, 0);
}

TEST(Sharing, TensorsPassBothWaysWithoutACopy) {
  const at::Tensor tensor = at::randn({4, 6}).t();
  const auto there = model::from_torch(tensor);
  ASSERT_TRUE(there);
  EXPECT_EQ(there->data(), static_cast<std::byte*>(tensor.data_ptr()));
  EXPECT_EQ(there->strides, tensor.strides().vec());
  const at::Tensor back = model::to_torch(*there);
  EXPECT_EQ(back.data_ptr(), tensor.data_ptr());
  EXPECT_EQ(back.strides(), tensor.strides());

  core::Tensor own = core::empty_tensor(core::DType::int16, {3});
  own.data_as<std::int16_t>()[1] = 7;
  const std::byte* const address = own.data();
  const at::Tensor seen = model::to_torch(own);
  own = {};  // the view keeps the memory
  EXPECT_EQ(seen.data_ptr(), address);
  EXPECT_EQ(seen[1].item<std::int64_t>(), 7);
}

TEST(Sharing, EveryElementTypePasses) {
  for (std::size_t i = 0; i < core::dtype_count; ++i) {
    const core::Tensor tensor = core::empty_tensor(static_cast<core::DType>(i), {2, 3});
    const auto back = model::from_torch(model::to_torch(tensor));
    ASSERT_TRUE(back) << core::to_string(tensor.dtype);
    EXPECT_EQ(back->dtype, tensor.dtype);
    EXPECT_EQ(back->sizes, tensor.sizes);
    EXPECT_EQ(back->data(), tensor.data());
  }
  EXPECT_EQ(model::from_torch(at::ones({2, 2}).to_sparse()).error().code, core::Errc::unsupported);
}

TEST(Sharing, TwoViewsOfOneStorageStaySo) {
  const at::Tensor whole = at::randn({4, 6});
  const auto value = model::from_torch(c10::IValue(std::vector<at::Tensor>{whole, whole[1]}));
  ASSERT_TRUE(value) << value.error().message();
  const auto parts = tensors({*value});
  ASSERT_EQ(parts.size(), 2u);
  EXPECT_EQ(parts[0].storage, parts[1].storage);
  const auto back = model::to_torch(*value);
  ASSERT_TRUE(back);
  const auto list = back->toTensorVector();
  EXPECT_TRUE(list[0].is_alias_of(list[1]));
}

}  // namespace
}  // namespace cleave::test
