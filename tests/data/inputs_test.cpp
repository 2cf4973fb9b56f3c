#include "tests/data/support.hpp"

#include <cleave/data/idx.hpp>
#include <cleave/data/inputs.hpp>
#include <cleave/data/npy.hpp>

#include <png.h>
#include <zlib.h>

#include <cstring>

namespace {

using namespace cleave;
namespace fs = std::filesystem;
using core::Errc;
using data::open_inputs;
using tests::idx;

std::string gzip(const std::string& bytes) {
  z_stream stream{};
  deflateInit2(&stream, 9, Z_DEFLATED, MAX_WBITS + 16, 8, Z_DEFAULT_STRATEGY);
  std::string out(deflateBound(&stream, bytes.size()) + 32, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

std::string grey_png(std::uint8_t value) {
  png_image png{};
  png.version = PNG_IMAGE_VERSION;
  png.width = png.height = 1;
  png.format = PNG_FORMAT_GRAY;
  std::string bytes(1000, '\0');
  png_alloc_size_t size = bytes.size();
  EXPECT_NE(png_image_write_to_memory(&png, bytes.data(), &size, 0, &value, 0, nullptr), 0);
  bytes.resize(size);
  return bytes;
}

class Inputs : public tests::WithFolder {
 protected:
  static std::string code(const fs::path& path,
                          const std::optional<fs::path>& labels = std::nullopt) {
    const auto inputs = open_inputs(path, labels);
    return inputs ? "opened" : std::string(to_string(inputs.error().code));
  }
  static float first(const data::LabelledInputs& inputs, std::size_t index,
                     std::vector<std::int64_t> sizes) {
    const auto tensor = inputs.input(index, sizes);
    EXPECT_TRUE(tensor) << tensor.error().message();
    return tensor ? tensor->data_as<float>()[0] : -1;
  }
};

TEST_F(Inputs, IdxPicturesAndLabelsPlainOrGzipped) {
  const std::string pictures = idx({3, 1, 2}, {'\x00', '\x33', '\x66', '\x33', '\xff', '\x33'});
  const std::string classes = idx({3}, {'\x07', '\x00', '\x09'});
  for (const bool packed : {false, true}) {
    const auto inputs = open_inputs(put("images", packed ? gzip(pictures) : pictures),
                                    put("labels", packed ? gzip(classes) : classes));
    ASSERT_TRUE(inputs) << inputs.error().message();
    EXPECT_EQ(inputs->size(), 3u);
    EXPECT_TRUE(inputs->labelled());
    EXPECT_EQ(inputs->label(0), 7);
    EXPECT_EQ(inputs->label(2), 9);
    EXPECT_FLOAT_EQ(first(*inputs, 1, {1, 1, 1, 2}), 0.4f);
    EXPECT_NE(inputs->name(1).find("images[1]"), std::string::npos);
    const std::int64_t sizes[] = {1, 1, 1, 2};
    EXPECT_EQ(inputs->input(3, sizes).error().code, Errc::not_found);
  }
}

TEST_F(Inputs, WithoutLabelsEveryClassIsUnknown) {
  const auto inputs = open_inputs(put("images", idx({2, 1, 1}, "ab")));
  ASSERT_TRUE(inputs);
  EXPECT_FALSE(inputs->labelled());
  EXPECT_EQ(inputs->label(1), -1);
}

TEST_F(Inputs, DamagedIdxFilesAreErrors) {
  const std::string good = idx({3, 1, 2}, "abcdef");
  for (std::size_t length = 1; length < good.size(); ++length)
    EXPECT_NE(code(put("x", good.substr(0, length))), "opened") << length;
  EXPECT_EQ(code(put("x", good + "g")), "corrupt");
  EXPECT_EQ(code(put("x", idx({0xffffffff, 0xffffffff, 0xffffffff}, "abc"))), "corrupt");
  EXPECT_EQ(code(put("x", idx({1, 1, 1, 1, 1}, "a"))), "unsupported");
  EXPECT_EQ(code(put("x", idx({0, 2, 2}, ""))), "unsupported");
  std::string floats = good;
  floats[2] = '\x0d';
  EXPECT_EQ(code(put("x", floats)), "unsupported");
  const std::string packed = gzip(good);
  for (std::size_t length = 3; length < packed.size(); ++length)
    EXPECT_EQ(code(put("x", packed.substr(0, length))), "corrupt") << length;
  EXPECT_EQ(code(put("x", packed + "x")), "corrupt");
  for (std::size_t i = packed.size() - 8; i < packed.size(); ++i) {
    std::string damaged = packed;  // the checksum and the length at its end
    damaged[i] = static_cast<char>(damaged[i] ^ 1);
    EXPECT_EQ(code(put("x", damaged)), "corrupt") << i;
  }
}

TEST_F(Inputs, LabelsHaveToFit) {
  const fs::path images = put("images", idx({2, 1, 1}, "ab"));
  EXPECT_EQ(code(images, put("few", idx({1}, "a"))), "mismatch");
  EXPECT_EQ(code(images, put("two.csv", "class\n4\n5\n")), "opened");
  EXPECT_EQ(code(images, put("bad.csv", "4\nx\n")), "corrupt");
  EXPECT_EQ(code(images, put("negative.csv", "4\n-1\n")), "corrupt");
  EXPECT_EQ(code(images, put("other.bin", "????")), "unsupported");
  EXPECT_EQ(code(images, folder_ / "none"), "not found");
  EXPECT_EQ(code(images, images), "unsupported");  // three dimensions are no labels
  core::Tensor classes = core::empty_tensor(core::DType::int64, {2});
  classes.data_as<std::int64_t>()[0] = 3;
  classes.data_as<std::int64_t>()[1] = 1;
  ASSERT_TRUE(data::save_npy(classes, folder_ / "classes.npy"));
  EXPECT_EQ(open_inputs(images, folder_ / "classes.npy")->label(0), 3);
  classes.data_as<std::int64_t>()[1] = std::int64_t{1} << 40;
  ASSERT_TRUE(data::save_npy(classes, folder_ / "classes.npy"));
  EXPECT_EQ(code(images, folder_ / "classes.npy"), "corrupt");
}

TEST_F(Inputs, CsvLinesAreAClassAndValues) {
  const auto inputs = open_inputs(put("x.csv", "label,a,b\r\n3,0.5,-2\r\n\r\n1, 1e3 ,\"4\"\r\n"));
  ASSERT_TRUE(inputs) << inputs.error().message();
  EXPECT_EQ(inputs->size(), 2u);
  EXPECT_EQ(inputs->label(0), 3);
  EXPECT_EQ(inputs->label(1), 1);
  EXPECT_EQ(first(*inputs, 0, {1, 2}), 0.5f);
  EXPECT_EQ(first(*inputs, 1, {1, 1, 1, 2}), 1000.0f);
  const std::int64_t sizes[] = {1, 3};
  EXPECT_EQ(inputs->input(0, sizes).error().code, Errc::invalid_argument);
  const auto message = [&](const std::string& text) {
    return open_inputs(put("y.csv", text)).error().message();
  };
  EXPECT_NE(message("1,2\n1,2,3\n").find("y.csv:2"), std::string::npos);
  EXPECT_NE(message("1,2\n1,b\n").find("'b' is not a number"), std::string::npos);
  EXPECT_NE(message("1,2\nb,1\n").find("y.csv:2"), std::string::npos);
  EXPECT_NE(message("").find("no inputs"), std::string::npos);
  EXPECT_EQ(code(put("y.csv", "1,2\n"), put("labels.csv", "1\n")), "invalid argument");
}

TEST_F(Inputs, NpyCountsInputsByItsFirstDimension) {
  core::Tensor tensor = core::empty_tensor(core::DType::float64, {2, 3});
  for (int i = 0; i < 6; ++i) tensor.data_as<double>()[i] = i + 0.5;
  ASSERT_TRUE(data::save_npy(tensor, folder_ / "x.npy"));
  const auto inputs = open_inputs(folder_ / "x.npy");
  ASSERT_TRUE(inputs) << inputs.error().message();
  EXPECT_EQ(inputs->size(), 2u);
  EXPECT_EQ(first(*inputs, 1, {1, 3}), 3.5f);  // doubles become floats

  tensor = core::empty_tensor(core::DType::int64, {1, 2});
  tensor.data_as<std::int64_t>()[1] = 77;
  ASSERT_TRUE(data::save_npy(tensor, folder_ / "i.npy"));
  const std::int64_t sizes[] = {1, 2};
  const auto tokens = open_inputs(folder_ / "i.npy")->input(0, sizes);
  ASSERT_TRUE(tokens);
  EXPECT_EQ(tokens->dtype, core::DType::int64);
  EXPECT_EQ(tokens->data_as<std::int64_t>()[1], 77);

  tensor = core::empty_tensor(core::DType::uint8, {2, 1, 1, 3});
  std::memset(tensor.data(), 51, 6);
  ASSERT_TRUE(data::save_npy(tensor, folder_ / "u.npy"));
  EXPECT_FLOAT_EQ(first(*open_inputs(folder_ / "u.npy"), 1, {1, 3, 1, 1}), 0.2f);

  ASSERT_TRUE(data::save_npy(core::empty_tensor(core::DType::float32, {}), folder_ / "s.npy"));
  EXPECT_EQ(code(folder_ / "s.npy"), "unsupported");
  ASSERT_TRUE(
      data::save_npy(core::empty_tensor(core::DType::uint8, {1, 3, 4, 5}), folder_ / "c.npy"));
  EXPECT_EQ(code(folder_ / "c.npy"), "unsupported");
}

TEST_F(Inputs, ASubFolderIsAClassInTheOrderOfNames) {
  put("d/zebra/1.png", grey_png(255));
  put("d/ant/b.PNG", grey_png(51));
  put("d/ant/a.png", grey_png(102));
  put("d/ant/notes.txt", "not a picture");
  put("d/empty/notes.txt", "nothing");
  const auto inputs = open_inputs(folder_ / "d");
  ASSERT_TRUE(inputs) << inputs.error().message();
  EXPECT_EQ(inputs->class_names(), (std::vector<std::string>{"ant", "zebra"}));
  ASSERT_EQ(inputs->size(), 3u);
  EXPECT_EQ(inputs->label(0), 0);
  EXPECT_EQ(inputs->label(1), 0);
  EXPECT_EQ(inputs->label(2), 1);
  EXPECT_FLOAT_EQ(first(*inputs, 0, {1, 1, 1, 1}), 0.4f);
  EXPECT_FLOAT_EQ(first(*inputs, 1, {1, 1, 1, 1}), 0.2f);
  EXPECT_FLOAT_EQ(first(*inputs, 2, {1, 1, 1, 1}), 1);
  put("d/top.png", grey_png(1));
  EXPECT_EQ(code(folder_ / "d"), "mismatch");
}

TEST_F(Inputs, AFlatDirectoryTakesItsLabelsByName) {
  put("d/b.png", grey_png(51));
  put("d/a.png", grey_png(102));
  const auto inputs = open_inputs(folder_ / "d", put("l.csv", "file,class\nb.png,5\na.png,2\n"));
  ASSERT_TRUE(inputs) << inputs.error().message();
  EXPECT_EQ(inputs->label(0), 2);
  EXPECT_EQ(inputs->label(1), 5);
  EXPECT_EQ(code(folder_ / "d", put("m.csv", "a.png,2\n")), "mismatch");
  EXPECT_EQ(code(folder_ / "d", put("m.csv", "a.png,2\nb.png,1\na.png,3\n")), "corrupt");
  EXPECT_FALSE(open_inputs(folder_ / "d")->labelled());
  fs::create_directory(folder_ / "e");
  EXPECT_EQ(code(folder_ / "e"), "not found");
}

TEST_F(Inputs, ABrokenPictureFailsWhenItIsAskedForAndIsNamed) {
  put("d/a.png", "hello");
  const auto inputs = open_inputs(folder_ / "d");
  ASSERT_TRUE(inputs);
  const std::int64_t sizes[] = {1, 1, 1, 1};
  const auto tensor = inputs->input(0, sizes);
  ASSERT_FALSE(tensor);
  EXPECT_NE(tensor.error().message().find("a.png"), std::string::npos);
}

TEST_F(Inputs, OneFileIsOneInputAndTheRestIsRefused) {
  const auto inputs = open_inputs(put("x.png", grey_png(51)));
  ASSERT_TRUE(inputs);
  EXPECT_EQ(inputs->size(), 1u);
  EXPECT_EQ(code(folder_ / "none"), "not found");
  EXPECT_EQ(code(put("x.bin", "hello")), "unsupported");
  EXPECT_EQ(code(put("empty", "")), "unsupported");
  EXPECT_EQ(code("/dev/null"), "invalid argument");
}

// Debian's dataset-fashion-mnist, where it is installed.
TEST_F(Inputs, FashionMnistAsACameraSeesIt) {
  const fs::path folder = "/usr/share/datasets/fashion-mnist";
  if (!fs::exists(folder))
    GTEST_SKIP() << "dataset-fashion-mnist is not installed";
  const auto inputs =
      open_inputs(folder / "t10k-images-idx3-ubyte.gz", folder / "t10k-labels-idx1-ubyte.gz");
  ASSERT_TRUE(inputs) << inputs.error().message();
  ASSERT_EQ(inputs->size(), 10000u);
  std::vector<int> counts(10, 0);
  for (std::size_t i = 0; i < inputs->size(); ++i)
    ++counts.at(static_cast<std::size_t>(inputs->label(i)));
  EXPECT_EQ(counts, std::vector<int>(10, 1000));
  EXPECT_EQ(inputs->label(0), 9);  // an ankle boot
  const std::int64_t sizes[] = {1, 1, 112, 112};
  const auto tensor = inputs->input(0, sizes);
  ASSERT_TRUE(tensor);
  float low = 1;
  float high = 0;
  for (std::size_t i = 0; i < tensor->numel(); ++i) {
    low = std::min(low, tensor->data_as<float>()[i]);
    high = std::max(high, tensor->data_as<float>()[i]);
  }
  EXPECT_EQ(low, 0);
  EXPECT_LE(high, 1);
  EXPECT_GT(high, 0.9);
}

}  // namespace
