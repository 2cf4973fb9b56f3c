#include <cleave/core/tensor.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <numeric>
#include <random>
#include <set>

namespace {

using namespace cleave::core;
using Sizes = std::vector<std::int64_t>;

constexpr std::int64_t huge = std::numeric_limits<std::int64_t>::max();

// The byte offset of every element, by counting through all indices.
std::vector<std::size_t> offsets(const Tensor& t) {
  std::vector<std::size_t> result;
  Sizes index(t.sizes.size(), 0);
  for (std::size_t n = 0; n < t.numel(); ++n) {
    std::size_t offset = 0;
    for (std::size_t d = 0; d < index.size(); ++d)
      offset += static_cast<std::size_t>(index[d] * t.strides[d]);
    result.push_back(offset * size_of(t.dtype));
    for (std::size_t d = index.size(); d-- > 0;) {
      if (++index[d] < t.sizes[d])
        break;
      index[d] = 0;
    }
  }
  return result;
}

TEST(Tensor, AViewInsideItsStorageIsMade) {
  const auto storage = allocate_storage(4 * 24);
  EXPECT_TRUE(make_tensor(DType::float32, {2, 3, 4}, {12, 4, 1}, 0, storage));
  EXPECT_TRUE(make_tensor(DType::float32, {4, 3, 2}, {1, 4, 12}, 0, storage));
  EXPECT_TRUE(make_tensor(DType::float32, {}, {}, 92, storage));
  EXPECT_TRUE(make_tensor(DType::float32, {1000}, {0}, 92, storage));
  EXPECT_TRUE(make_tensor(DType::float32, {0, 5}, {5, 1}, 96, storage));
}

TEST(Tensor, AViewThatReachesOutsideIsRefused) {
  const auto storage = allocate_storage(4 * 24);
  const auto refused = [&](DType dtype, Sizes sizes, Sizes strides, std::size_t offset) {
    const auto made = make_tensor(dtype, std::move(sizes), std::move(strides), offset, storage);
    return !made && made.error().code == Errc::invalid_argument;
  };
  EXPECT_TRUE(refused(DType::float32, {25}, {1}, 0));
  EXPECT_TRUE(refused(DType::float32, {24}, {1}, 1));
  EXPECT_TRUE(refused(DType::float64, {13}, {1}, 0));
  EXPECT_TRUE(refused(DType::float32, {2, 12}, {13, 1}, 0));
  EXPECT_TRUE(refused(DType::float32, {}, {}, 93));
  EXPECT_TRUE(refused(DType::float32, {0}, {1}, 97));
  EXPECT_TRUE(refused(DType::float32, {-1}, {1}, 0));
  EXPECT_TRUE(refused(DType::float32, {2}, {-1}, 8));
  EXPECT_TRUE(refused(DType::float32, {2, 2}, {1}, 0));
  EXPECT_TRUE(refused(static_cast<DType>(200), {1}, {1}, 0));
  EXPECT_FALSE(make_tensor(DType::float32, {1}, {1}, 0, nullptr));
}

TEST(Tensor, SizesThatOverflowAreRefused) {
  const auto storage = allocate_storage(64);
  const auto refused = [&](Sizes sizes, Sizes strides, std::size_t offset) {
    return !make_tensor(DType::float64, std::move(sizes), std::move(strides), offset, storage);
  };
  EXPECT_TRUE(refused({huge}, {1}, 0));
  EXPECT_TRUE(refused({huge, huge}, {huge, huge}, 0));
  EXPECT_TRUE(refused({2, 2}, {huge, huge}, 0));
  EXPECT_TRUE(refused({std::int64_t{1} << 61}, {1}, 0));
  EXPECT_TRUE(refused({3}, {std::int64_t{1} << 60}, 0));
  EXPECT_TRUE(refused({huge, huge, huge, huge}, {0, 0, 0, 0}, 0));
  EXPECT_TRUE(refused({1}, {1}, std::numeric_limits<std::size_t>::max()));
  EXPECT_TRUE(refused({1}, {1}, std::numeric_limits<std::size_t>::max() - 7));
}

TEST(Tensor, WhateverIsMadeTouchesOnlyItsStorage) {
  std::mt19937 engine(3);
  const auto storage = allocate_storage(512);
  const DType dtypes[] = {DType::uint8, DType::float16, DType::float32, DType::complex128};
  std::uniform_int_distribution<std::int64_t> size(0, 6);
  std::uniform_int_distribution<std::int64_t> stride(0, 40);
  int made = 0;
  for (int i = 0; i < 20000; ++i) {
    Sizes sizes, strides;
    for (unsigned d = 0; d < engine() % 4; ++d) {
      sizes.push_back(size(engine));
      strides.push_back(stride(engine));
    }
    const DType dtype = dtypes[engine() % 4];
    const std::size_t offset = engine() % 600;
    const auto tensor = make_tensor(dtype, sizes, strides, offset, storage);
    Tensor unchecked{dtype, sizes, strides, offset, storage};
    std::size_t end = 0;
    for (const std::size_t at : offsets(unchecked)) end = std::max(end, at + size_of(dtype));
    EXPECT_EQ(tensor.has_value(), offset + end <= 512);
    if (tensor) {
      ++made;
      EXPECT_EQ(tensor->extent_bytes(), end);
    }
  }
  EXPECT_GT(made, 1000);
}

TEST(Tensor, ContiguousAndDenseAreWhatTheOffsetsSay) {
  std::mt19937 engine(4);
  const auto storage = allocate_storage(4096);
  for (int i = 0; i < 3000; ++i) {
    Sizes sizes, order;
    for (unsigned d = 0; d < 1 + engine() % 3; ++d) sizes.push_back(1 + engine() % 4);
    Sizes strides = contiguous_strides(sizes);
    if (engine() % 2)
      std::shuffle(strides.begin(), strides.end(), engine);
    if (engine() % 4 == 0)
      strides[engine() % strides.size()] += 1;
    const auto tensor = make_tensor(DType::int16, sizes, strides, 0, storage);
    ASSERT_TRUE(tensor);
    const auto at = offsets(*tensor);
    bool in_order = true;
    for (std::size_t n = 0; n < at.size(); ++n) in_order = in_order && at[n] == 2 * n;
    EXPECT_EQ(tensor->is_contiguous(), in_order);
    const std::set<std::size_t> places(at.begin(), at.end());
    EXPECT_EQ(tensor->is_dense(),
              places.size() == at.size() && *places.rbegin() == 2 * (at.size() - 1));
  }
}

TEST(Tensor, AContiguousCopyHasTheElementsInOrderAndAStorageOfItsOwn) {
  const auto storage = allocate_storage(4 * 60);
  auto* numbers = reinterpret_cast<std::int32_t*>(storage->data());
  std::iota(numbers, numbers + 60, 100);
  const std::pair<Sizes, Sizes> views[] = {{{3, 4, 5}, {20, 5, 1}},   // as it lies
                                           {{5, 4, 3}, {1, 5, 20}},   // transposed
                                           {{3, 2, 5}, {20, 10, 1}},  // every other row
                                           {{4, 7}, {5, 0}},          // expanded
                                           {{}, {}},
                                           {{0, 3}, {3, 1}}};
  for (const auto& [sizes, strides] : views) {
    const auto view = make_tensor(DType::int32, sizes, strides, 0, storage);
    ASSERT_TRUE(view);
    const Tensor copy = contiguous_copy(*view);
    EXPECT_TRUE(copy.is_contiguous());
    EXPECT_EQ(copy.sizes, sizes);
    EXPECT_NE(copy.storage, storage);
    const auto at = offsets(*view);
    ASSERT_EQ(copy.numel(), at.size());
    for (std::size_t n = 0; n < at.size(); ++n)
      EXPECT_EQ(copy.data_as<std::int32_t>()[n], 100 + static_cast<std::int32_t>(at[n] / 4));
  }
}

TEST(Tensor, StorageIsAlignedForVectorInstructions) {
  for (const std::size_t size : {0, 1, 63, 64, 1000}) {
    const auto storage = allocate_storage(size);
    EXPECT_EQ(storage->size(), size);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(storage->data()) % 64, 0u);
  }
}

TEST(DTypes, HaveASizeAndAName) {
  std::set<std::string_view> names;
  for (std::size_t i = 0; i < dtype_count; ++i) {
    EXPECT_GT(size_of(static_cast<DType>(i)), 0u);
    names.insert(to_string(static_cast<DType>(i)));
  }
  EXPECT_EQ(names.size(), dtype_count);
  EXPECT_EQ(size_of(static_cast<DType>(dtype_count)), 0u);
}

TEST(Values, TensorsInsideAreVisitedDepthFirst) {
  const auto scalar = [](std::uint8_t n) {
    Tensor t = empty_tensor(DType::uint8, {});
    *t.data_as<std::uint8_t>() = n;
    return t;
  };
  Value::Dict dict;
  dict.items.emplace_back(std::string("key"), scalar(3));
  const Value value = Value::Tuple{{scalar(1), Value::List{{Value(scalar(2)), Value(dict)}, ""},
                                    std::int64_t{7}, Value::None{}, scalar(4)}};
  std::vector<int> seen;
  for_each_tensor(value, [&](const Tensor& t) { seen.push_back(*t.data_as<std::uint8_t>()); });
  EXPECT_EQ(seen, (std::vector<int>{1, 2, 3, 4}));
}

}  // namespace
