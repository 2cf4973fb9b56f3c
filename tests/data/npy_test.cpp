#include "tests/data/support.hpp"

#include <cleave/data/npy.hpp>

#include <cstring>
#include <numeric>

namespace {

using namespace cleave;
using core::DType;
using core::Errc;
using data::load_npy;
using tests::npy;

class Npy : public tests::WithFolder {
 protected:
  [[nodiscard]] std::string code(const std::string& bytes) const {
    const auto tensor = load_npy(put("x.npy", bytes));
    return tensor ? "loaded" : std::string(to_string(tensor.error().code));
  }
};

const std::string two_by_three = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }\n";

std::string floats(std::vector<float> values) {
  return {reinterpret_cast<const char*>(values.data()), 4 * values.size()};
}

TEST_F(Npy, ReadsWhatNumpyWrites) {
  const auto tensor = load_npy(put("a.npy", npy(two_by_three, floats({1, 2, 3, 4, 5, 6}))));
  ASSERT_TRUE(tensor) << tensor.error().message();
  EXPECT_EQ(tensor->dtype, DType::float32);
  EXPECT_EQ(tensor->sizes, (std::vector<std::int64_t>{2, 3}));
  EXPECT_EQ(tensor->data_as<float>()[4], 5);
}

TEST_F(Npy, FortranOrderBecomesRowMajor) {
  const std::string header = "{'shape': (2, 3), 'fortran_order': True, 'descr': '<f4'}";
  const auto tensor = load_npy(put("a.npy", npy(header, floats({1, 4, 2, 5, 3, 6}))));
  ASSERT_TRUE(tensor) << tensor.error().message();
  EXPECT_TRUE(tensor->is_contiguous());
  for (int i = 0; i < 6; ++i) EXPECT_EQ(tensor->data_as<float>()[i], static_cast<float>(i + 1));
}

TEST_F(Npy, VersionTwoHasALongerLengthField) {
  std::string bytes = "\x93NUMPY";
  bytes += std::string("\x02\0", 2);
  const auto size = static_cast<std::uint32_t>(two_by_three.size());
  bytes.append(reinterpret_cast<const char*>(&size), 4);
  EXPECT_EQ(code(bytes + two_by_three + floats({1, 2, 3, 4, 5, 6})), "loaded");
}

TEST_F(Npy, EveryDtypeThatNumpyHasComesBack) {
  for (std::size_t i = 0; i < core::dtype_count; ++i) {
    const auto dtype = static_cast<DType>(i);
    if (dtype == DType::bfloat16) {
      EXPECT_EQ(data::save_npy(core::empty_tensor(dtype, {2}), folder_ / "b.npy").error().code,
                Errc::unsupported);
      continue;
    }
    for (const std::vector<std::int64_t>& sizes :
         {std::vector<std::int64_t>{}, {5}, {2, 0, 3}, {2, 3, 4}}) {
      core::Tensor tensor = core::empty_tensor(dtype, sizes);
      for (std::size_t b = 0; b < tensor.nbytes(); ++b)
        tensor.data()[b] = static_cast<std::byte>(dtype == DType::boolean ? b % 2 : b * 7);
      ASSERT_TRUE(data::save_npy(tensor, folder_ / "b.npy"));
      const auto loaded = load_npy(folder_ / "b.npy");
      ASSERT_TRUE(loaded) << loaded.error().message();
      EXPECT_EQ(loaded->dtype, dtype);
      EXPECT_EQ(loaded->sizes, sizes);
      EXPECT_EQ(std::memcmp(loaded->data(), tensor.data(), tensor.nbytes()), 0);
    }
  }
}

TEST_F(Npy, WritesTheHeaderThatNumpyDoes) {
  const auto bytes = *data::npy_bytes(core::empty_tensor(DType::float32, {3}));
  ASSERT_EQ(bytes.size(), 128u + 12);  // numpy.save pads the header to 64 bytes as well
  const std::string text(reinterpret_cast<const char*>(bytes.data()), 128);
  EXPECT_EQ(text.substr(10, 57), "{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }");
  EXPECT_EQ(text.back(), '\n');
}

TEST_F(Npy, AStridedTensorIsWrittenRowByRow) {
  core::Tensor tensor = core::empty_tensor(DType::int32, {2, 3});
  std::iota(tensor.data_as<std::int32_t>(), tensor.data_as<std::int32_t>() + 6, 0);
  tensor.sizes = {3, 2};
  tensor.strides = {1, 3};
  ASSERT_TRUE(data::save_npy(tensor, folder_ / "t.npy"));
  const auto loaded = load_npy(folder_ / "t.npy");
  ASSERT_TRUE(loaded);
  const std::int32_t expected[] = {0, 3, 1, 4, 2, 5};
  EXPECT_EQ(std::memcmp(loaded->data(), expected, sizeof expected), 0);
}

TEST_F(Npy, DamageAndTruncationAreErrors) {
  const std::string good = npy(two_by_three, floats({1, 2, 3, 4, 5, 6}));
  for (std::size_t length = 0; length < good.size(); ++length)
    EXPECT_EQ(code(good.substr(0, length)), "corrupt") << length;
  EXPECT_EQ(code(good + "x"), "corrupt");
  const auto with = [&](const std::string& header) { return code(npy(header, floats({1}))); };
  EXPECT_EQ(with("{'descr': '>f4', 'fortran_order': False, 'shape': (1,)}"), "unsupported");
  EXPECT_EQ(with("{'descr': '<U4', 'fortran_order': False, 'shape': (1,)}"), "unsupported");
  EXPECT_EQ(with("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,)}"),
            "unsupported");
  EXPECT_EQ(with("{'descr': '<f4', 'shape': (1,)}"), "corrupt");
  EXPECT_EQ(with("{'descr': '<f4', 'fortran_order': False, 'shape': (1,)} trailing"), "corrupt");
  EXPECT_EQ(with("{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}"), "corrupt");
  EXPECT_EQ(with("{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}"),
            "corrupt");
  EXPECT_EQ(with("{'descr': '<f4', 'fortran_order': False, "
                 "'shape': (4611686018427387904, 4611686018427387904)}"),
            "corrupt");
  EXPECT_EQ(with("{'descr': '<f4', 'fortran_order': True, "
                 "'shape': (0, 4611686018427387904, 4611686018427387904)}"),
            "corrupt");
}

TEST_F(Npy, EveryFlippedByteIsAnErrorOrAnArray) {
  const std::string good = npy(two_by_three, floats({1, 2, 3, 4, 5, 6}));
  for (std::size_t i = 0; i < good.size(); ++i)
    for (const int flip : {1, 2, 4, 8, 16, 32, 64, 128}) {
      std::string damaged = good;
      damaged[i] = static_cast<char>(damaged[i] ^ flip);
      const auto tensor =
          data::parse_npy(std::as_bytes(std::span(damaged.data(), damaged.size())), "x");
      if (tensor) {
        EXPECT_EQ(tensor->nbytes(), tensor->storage->size());
      }
    }
}

}  // namespace
