// ONNX files: what is read from them, what they must say, and what hostile ones cannot do. Results
// are compared with ONNX Runtime's in tests/peers.
#include "lib/model/onnx_import.hpp"
#include "lib/model/onnx_proto.hpp"
#include "tests/model/split_support.hpp"

#include <cleave/core/file.hpp>

#include <unistd.h>

#include <filesystem>
#include <random>
#include <sstream>

namespace cleave::test {
namespace {

namespace fs = std::filesystem;
using core::Errc;
using onnx::AttributeProto;
using onnx::TensorProto;

// Writes a graph node by node.
class Writer {
 public:
  explicit Writer(int opset = 17) {
    proto.set_ir_version(8);
    proto.add_opset_import()->set_version(opset);
    proto.mutable_graph()->set_name("graph");
  }

  Writer& input(const std::string& name, const std::vector<std::int64_t>& sizes,
                int type = TensorProto::FLOAT) {
    auto* tensor = declare(*graph().add_input(), name, type);
    tensor->mutable_shape();
    for (const std::int64_t size : sizes) {
      auto* dim = tensor->mutable_shape()->add_dim();
      if (size > 0)
        dim->set_dim_value(size);
      else
        dim->set_dim_param("size_" + std::to_string(-size));
    }
    return *this;
  }
  Writer& output(const std::string& name) {
    declare(*graph().add_output(), name, TensorProto::FLOAT);
    return *this;
  }
  Writer& weight(const std::string& name, const at::Tensor& tensor) {
    *graph().add_initializer() = tensor_proto(name, tensor);
    return *this;
  }
  Writer& ints(const std::string& name, const std::vector<std::int64_t>& numbers) {
    return weight(name, at::tensor(numbers, at::kLong));
  }
  onnx::NodeProto& node(const std::string& op, const std::vector<std::string>& inputs,
                        const std::vector<std::string>& outputs, const std::string& name = "") {
    return node_in(graph(), op, inputs, outputs, name);
  }
  static onnx::NodeProto& node_in(onnx::GraphProto& graph, const std::string& op,
                                  const std::vector<std::string>& inputs,
                                  const std::vector<std::string>& outputs,
                                  const std::string& name = "") {
    auto& node = *graph.add_node();
    node.set_op_type(op);
    node.set_name(name);
    for (const auto& input : inputs) node.add_input(input);
    for (const auto& output : outputs) node.add_output(output);
    return node;
  }
  static void attribute(onnx::NodeProto& node, const std::string& name, std::int64_t value) {
    auto* attribute = node.add_attribute();
    attribute->set_name(name);
    attribute->set_type(AttributeProto::INT);
    attribute->set_i(value);
  }
  static void attribute(onnx::NodeProto& node, const std::string& name,
                        const std::vector<std::int64_t>& values) {
    auto* attribute = node.add_attribute();
    attribute->set_name(name);
    attribute->set_type(AttributeProto::INTS);
    for (const auto value : values) attribute->add_ints(value);
  }
  static onnx::GraphProto& graph_attribute(onnx::NodeProto& node, const std::string& name) {
    auto* attribute = node.add_attribute();
    attribute->set_name(name);
    attribute->set_type(AttributeProto::GRAPH);
    return *attribute->mutable_g();
  }
  static TensorProto tensor_proto(const std::string& name, const at::Tensor& tensor) {
    TensorProto result;
    result.set_name(name);
    result.set_data_type(tensor.scalar_type() == at::kLong   ? TensorProto::INT64
                         : tensor.scalar_type() == at::kBool ? TensorProto::BOOL
                                                             : TensorProto::FLOAT);
    for (const auto size : tensor.sizes()) result.add_dims(size);
    const at::Tensor plain = tensor.contiguous();
    result.set_raw_data(plain.data_ptr(), plain.nbytes());
    return result;
  }

  onnx::GraphProto& graph() { return *proto.mutable_graph(); }
  [[nodiscard]] std::string text() const { return proto.SerializeAsString(); }

  onnx::ModelProto proto;

 private:
  static onnx::TypeProto_Tensor* declare(onnx::ValueInfoProto& value, const std::string& name,
                                         int type) {
    value.set_name(name);
    auto* tensor = value.mutable_type()->mutable_tensor_type();
    tensor->set_elem_type(type);
    return tensor;
  }
};

core::Result<model::OnnxImport> import(const std::string& text,
                                       const std::vector<std::string>& inputs = {}) {
  model::OnnxOptions options;
  for (const auto& input : inputs) options.inputs.push_back(*model::parse_input_spec(input));
  return model::import_onnx(std::as_bytes(std::span(text)), options);
}

// The error of a file that must be refused, checked to be one line.
core::Error refused(const std::string& text, const std::vector<std::string>& inputs = {}) {
  const auto result = import(text, inputs);
  if (result) {
    ADD_FAILURE() << "it was taken";
    return {};
  }
  EXPECT_EQ(result.error().message().find('\n'), std::string::npos) << result.error().message();
  return result.error();
}

bool names(const core::Error& error, const std::vector<std::string>& words) {
  for (const auto& word : words) {
    if (error.message().find(word) == std::string::npos) {
      ADD_FAILURE() << "'" << word << "' is not in: " << error.message();
      return false;
    }
  }
  return true;
}

std::vector<std::string> operators(const model::OnnxImport& imported) {
  std::vector<std::string> ops;
  for (const auto* node : imported.graph->nodes()) {
    if (node->kind() != c10::prim::Constant)
      ops.emplace_back(node->kind().toQualString());
  }
  return ops;
}

// A small classifier: convolution, normalisation, activation, pooling, linear layer.
Writer classifier(std::uint64_t seed = 1, const std::vector<std::int64_t>& sizes = {1, 3, 8, 8}) {
  Writer w;
  w.input("image", sizes).output("scores");
  w.weight("features.0.weight", weights({4, 3, 3, 3}, seed));
  w.weight("features.0.bias", weights({4}, seed + 1));
  w.weight("features.1.weight", weights({4}, seed + 2));
  w.weight("features.1.bias", weights({4}, seed + 3));
  w.weight("features.1.running_mean", weights({4}, seed + 4));
  w.weight("features.1.running_var", weights({4}, seed + 5).abs() + 0.5);
  w.weight("classifier.weight", weights({5, 4}, seed + 6));
  w.weight("classifier.bias", weights({5}, seed + 7));
  Writer::attribute(w.node("Conv", {"image", "features.0.weight", "features.0.bias"}, {"a"}),
                    "pads", std::vector<std::int64_t>{1, 1, 1, 1});
  w.node("BatchNormalization",
         {"a", "features.1.weight", "features.1.bias", "features.1.running_mean",
          "features.1.running_var"},
         {"b"});
  w.node("Relu", {"b"}, {"c"}, "/features/features.2/Relu");
  w.node("GlobalAveragePool", {"c"}, {"d"});
  w.node("Flatten", {"d"}, {"e"});
  Writer::attribute(w.node("Gemm", {"e", "classifier.weight", "classifier.bias"}, {"scores"}),
                    "transB", 1);
  return w;
}

class OnnxFile : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / ("cleave-onnx-file-" + std::to_string(::getpid()));
    fs::create_directories(folder_);
  }
  void TearDown() override {
    std::error_code ignored;
    fs::remove_all(folder_, ignored);
  }
  fs::path write(const std::string& name, const std::string& text) const {
    if (!core::write_file(folder_ / name, text))
      throw std::runtime_error("cannot write");
    return folder_ / name;
  }
  fs::path folder_;
};

TEST_F(OnnxFile, LoadsByItsContentWithTheShapesItTells) {
  const Writer w = classifier();
  for (const char* name : {"network.onnx", "network.model"}) {
    const auto model = model::load(write(name, w.text()));
    ASSERT_TRUE(model) << model.error().message();
    EXPECT_EQ((*model)->name(), "network");
    ASSERT_EQ((*model)->inputs().size(), 1u);
    EXPECT_EQ((*model)->inputs()[0].name, "image");
    EXPECT_EQ((*model)->inputs()[0].sizes, (std::vector<std::int64_t>{1, 3, 8, 8}));
    // Without the normalisation's mean and variance.
    EXPECT_EQ((*model)->parameter_count(), 4 * 3 * 9 + 4 + 4 + 4 + 4 * 5 + 5);
    // The normalisation is part of the convolution, and nothing is kept twice.
    EXPECT_EQ((*model)->weight_bytes().count(), 4.0 * (4 * 3 * 9 + 4 + 4 * 5 + 5));
    EXPECT_GE(check_every_cut(**model, (*model)->example_inputs()), 4u);
  }
}

TEST_F(OnnxFile, ComputesWhatItsOperatorsSay) {
  const Writer w = classifier();
  const auto model = *model::load(write("network.onnx", w.text()));
  const auto inputs = model->example_inputs(3);
  const at::Tensor x = model::to_torch(*inputs[0].tensor());
  at::Tensor y = at::conv2d(x, weights({4, 3, 3, 3}, 1), weights({4}, 2), 1, 1);
  y = at::batch_norm(y, weights({4}, 3), weights({4}, 4), weights({4}, 5),
                     weights({4}, 6).abs() + 0.5, false, 0.1, 1e-5, false);
  y = at::linear(at::relu(y).mean({2, 3}), weights({5, 4}, 7), weights({5}, 8));
  const core::Values expected{core::Value(*model::from_torch(y))};
  EXPECT_LT(relative_difference(run_whole(*model, inputs), expected), 1e-5);
}

TEST_F(OnnxFile, LayersHaveReadableNames) {
  const auto model = *model::load(write("network.onnx", classifier().text()));
  std::vector<std::string> found;
  for (const auto& step : model->steps()) found.push_back(step.layer + " " + step.op);
  EXPECT_EQ(found, (std::vector<std::string>{
                       "features.0 aten::conv2d+relu", "features.2 aten::adaptive_avg_pool2d",
                       "features.2 aten::flatten", "classifier aten::linear"}));
}

TEST_F(OnnxFile, NewWeightsKeepTheStructureAndItsCuts) {
  const auto first = *model::load(write("a.onnx", classifier(1).text()));
  const auto second = *model::load(write("b.onnx", classifier(100).text()));
  EXPECT_EQ(first->fingerprint().structure, second->fingerprint().structure);
  EXPECT_NE(first->fingerprint().weights, second->fingerprint().weights);
  const auto again = *model::load(write("c.onnx", classifier(1).text()));
  EXPECT_EQ(first->fingerprint(), again->fingerprint());
}

TEST_F(OnnxFile, OpenSizesAreAskedForByName) {
  const auto path = write("open.onnx", classifier(1, {-1, 3, -2, -3}).text());
  const auto untold = model::load(path);
  ASSERT_FALSE(untold);
  EXPECT_EQ(untold.error().code, Errc::invalid_argument);
  names(untold.error(), {"'image'", "size_1, 3, size_2, size_3", "--input 1x3x224x224"});
  model::LoadOptions options;
  options.inputs = {*model::parse_input_spec("2x3x10x12")};
  const auto told = model::load(path, options);
  ASSERT_TRUE(told) << told.error().message();
  EXPECT_EQ((*told)->inputs()[0].sizes, (std::vector<std::int64_t>{2, 3, 10, 12}));
}

TEST(OnnxImport, InputsThatDoNotFitAreRefused) {
  const std::string text = classifier().text();
  EXPECT_EQ(refused(text, {"1x3x8x8", "1x3x8x8"}).code, Errc::invalid_argument);
  names(refused(text, {"1x3x8x8:int64"}), {"image", "element type", "1x3x8x8"});
  names(refused(text, {"3x8x8"}), {"4 dimensions", "not 3"});
  names(refused(text, {"1x4x8x8"}), {"Conv", "opset 17"});
  EXPECT_TRUE(import(text, {"5x3x16x16"}));
}

TEST(OnnxImport, UnknownOperatorsAreNamedWithNodeAndOpset) {
  Writer w(13);
  w.input("x", {2}).output("y").node("Bogus", {"x"}, {"y"}, "layer1/bogus");
  const core::Error error = refused(w.text());
  EXPECT_EQ(error.code, Errc::unsupported);
  names(error, {"Bogus", "'layer1/bogus'", "opset 13", "docs/onnx.md"});
  w.graph().mutable_node(0)->set_op_type("Relu");
  w.graph().mutable_node(0)->set_domain("com.example");
  names(refused(w.text()), {"com.example::Relu"});
  w.graph().mutable_node(0)->clear_name();
  names(refused(w.text()), {"'y'"});
}

TEST(OnnxImport, OpsetsOutsideTheTableAreRefused) {
  for (const int opset : {0, 8, 21, 1000}) {
    Writer w(opset);
    w.input("x", {2}).output("y").node("Relu", {"x"}, {"y"});
    names(refused(w.text()), {"opset"});
  }
  Writer early(13);
  early.input("x", {2}).output("y").node("Gelu", {"x"}, {"y"});
  names(refused(early.text()), {"Gelu", "opset 13"});
}

TEST(OnnxImport, ExportersSpellingsBecomeOneOperator) {
  Writer w(13);
  w.input("x", {2, 3}).output("y");
  w.node("Sigmoid", {"x"}, {"s"});
  w.node("Mul", {"x", "s"}, {"a"});
  w.node("HardSigmoid", {"a"}, {"h"});
  auto& alpha = *w.graph().mutable_node(2)->add_attribute();
  alpha.set_name("alpha");
  alpha.set_type(AttributeProto::FLOAT);
  alpha.set_f(1.0F / 6);
  w.node("Mul", {"h", "a"}, {"b"});
  w.weight("zero", at::zeros({})).weight("six", at::full({}, 6.0));
  w.node("Clip", {"b", "zero", "six"}, {"c"});
  w.node("Clip", {"c", "zero"}, {"d"});
  w.weight("w", weights({3, 4})).weight("v", weights({4}));
  w.node("MatMul", {"d", "w"}, {"e"});
  w.node("Add", {"e", "v"}, {"y"});
  const auto imported = import(w.text());
  ASSERT_TRUE(imported) << imported.error().message();
  EXPECT_EQ(operators(*imported),
            (std::vector<std::string>{"aten::silu", "aten::hardswish", "aten::hardtanh",
                                      "aten::relu", "aten::linear"}));
}

TEST(OnnxImport, ShapeArithmeticLeavesNoTrace) {
  Writer w;
  w.input("x", {2, 3, 4}).output("y").ints("i", {0}).ints("rest", {-1});
  w.node("Shape", {"x"}, {"s"});
  w.node("Gather", {"s", "i"}, {"n"});
  Writer::attribute(w.node("Concat", {"n", "rest"}, {"t"}), "axis", 0);
  w.node("Reshape", {"x", "t"}, {"r"});
  w.node("Relu", {"r"}, {"y"});
  const auto imported = import(w.text());
  ASSERT_TRUE(imported) << imported.error().message();
  EXPECT_EQ(operators(*imported), (std::vector<std::string>{"aten::reshape", "aten::relu"}));
}

TEST(OnnxImport, FunctionsOfTheFileAreReadAsTheirNodes) {
  Writer w;
  w.input("x", {2, 3}).output("y");
  auto& call = w.node("Twice", {"x"}, {"y"}, "twice");
  call.set_domain("local");
  Writer::attribute(call, "axis", 0);
  w.proto.add_opset_import()->set_domain("local");
  auto& function = *w.proto.add_functions();
  function.set_name("Twice");
  function.set_domain("local");
  function.add_input("a");
  function.add_output("b");
  function.add_attribute("axis");
  function.add_opset_import()->set_version(17);
  auto& softmax = *function.add_node();
  softmax.set_op_type("Softmax");
  softmax.add_input("a");
  softmax.add_output("b");
  auto& axis = *softmax.add_attribute();
  axis.set_name("axis");
  axis.set_ref_attr_name("axis");
  axis.set_type(AttributeProto::INT);
  const auto imported = import(w.text());
  ASSERT_TRUE(imported) << imported.error().message();
  EXPECT_EQ(operators(*imported), (std::vector<std::string>{"aten::softmax"}));
  // A function that calls itself ends.
  softmax.set_op_type("Twice");
  softmax.set_domain("local");
  EXPECT_EQ(refused(w.text()).code, Errc::corrupt);
}

TEST(OnnxImport, GraphsThatContradictThemselvesAreRefused) {
  const auto broken = [](const auto& change) {
    Writer w = classifier();
    change(w);
    return refused(w.text());
  };
  names(broken([](Writer& w) { w.graph().mutable_node(2)->set_input(0, "nowhere"); }),
        {"'nowhere'", "Relu"});
  names(broken([](Writer& w) { w.graph().mutable_node(2)->set_input(0, "e"); }), {"'e'"});
  names(broken([](Writer& w) { w.graph().mutable_node(2)->set_output(0, "b"); }), {"twice"});
  names(broken([](Writer& w) { w.graph().mutable_output(0)->set_name("z"); }), {"'z'"});
  names(broken([](Writer& w) { w.graph().clear_output(); }), {"no outputs"});
  names(broken([](Writer& w) { w.proto.clear_opset_import(); }), {"opset"});
  names(broken([](Writer& w) { w.graph().mutable_initializer(0)->mutable_raw_data()->pop_back(); }),
        {"features.0.weight"});
  names(broken([](Writer& w) { w.graph().mutable_initializer(0)->set_dims(0, -4); }), {"negative"});
  names(broken([](Writer& w) { w.graph().mutable_initializer(0)->set_dims(0, 1LL << 62); }),
        {"too large"});
  names(broken([](Writer& w) { w.graph().mutable_initializer(0)->set_data_type(8); }), {"string"});
  names(broken([](Writer& w) { w.graph().mutable_initializer(0)->set_data_type(17); }), {"17"});
}

// What a few bytes can ask for. Each is refused before memory is taken or time is spent.
TEST(OnnxImport, SmallFilesCannotAskForMuch) {
  const auto with = [](const auto& change) {
    Writer w;
    w.input("x", {1, 1, 4, 4}).output("y");
    change(w);
    return refused(w.text()).code;
  };
  constexpr std::int64_t huge = std::int64_t{1} << 40;
  EXPECT_EQ(with([](Writer& w) { w.ints("n", {huge}).node("ConstantOfShape", {"n"}, {"y"}); }),
            Errc::exhausted);
  EXPECT_EQ(with([](Writer& w) {
              w.ints("n", {huge, 1, 4, 4}).node("Expand", {"x", "n"}, {"y"});
            }),
            Errc::exhausted);
  EXPECT_EQ(with([](Writer& w) {
              w.ints("n", {1 << 20, 1 << 20, 1, 1}).node("Tile", {"x", "n"}, {"y"});
            }),
            Errc::exhausted);
  EXPECT_EQ(with([](Writer& w) {
              w.ints("n", {0, 0, 0, 0, 0, 0, huge, 0}).node("Pad", {"x", "n"}, {"y"});
            }),
            Errc::exhausted);
  EXPECT_EQ(with([](Writer& w) {
              w.weight("a", at::zeros({}, at::kLong))
                  .weight("b", at::full({}, huge, at::kLong))
                  .weight("c", at::ones({}, at::kLong))
                  .node("Range", {"a", "b", "c"}, {"y"});
            }),
            Errc::exhausted);
  EXPECT_EQ(with([](Writer& w) {
              w.weight("w", at::ones({1, 1, 1, 1}));
              Writer::attribute(w.node("Conv", {"x", "w"}, {"y"}), "pads",
                                std::vector<std::int64_t>(4, std::int64_t{1} << 29));
            }),
            Errc::exhausted);
  EXPECT_EQ(
      with([](Writer& w) {
        w.weight("s", at::tensor({1.0F, 1.0F, 1e6F, 1e6F})).node("Resize", {"x", "", "s"}, {"y"});
      }),
      Errc::exhausted);
  // Doubling a value 60 times over.
  EXPECT_EQ(with([](Writer& w) {
              std::string last = "x";
              for (int i = 0; i < 60; ++i) {
                const std::string next = i == 59 ? "y" : "v" + std::to_string(i);
                Writer::attribute(w.node("Concat", {last, last}, {next}), "axis", 0);
                last = next;
              }
            }),
            Errc::exhausted);
  EXPECT_EQ(with([](Writer& w) {
              w.weight("n", at::full({}, huge, at::kLong)).weight("t", at::ones({}, at::kBool));
              auto& loop = w.node("Loop", {"n", "t", "x"}, {"y"});
              auto& body = Writer::graph_attribute(loop, "body");
              for (const char* name : {"i", "c", "v"}) body.add_input()->set_name(name);
              Writer::node_in(body, "Identity", {"c"}, {"d"});
              Writer::node_in(body, "Relu", {"v"}, {"u"});
              for (const char* name : {"d", "u"}) body.add_output()->set_name(name);
            }),
            Errc::exhausted);
}

TEST(OnnxImport, GraphsWithinGraphsEnd) {
  Writer w;
  w.input("x", {2}).output("y").weight("t", at::ones({}, at::kBool));
  auto* graph = &w.graph();
  for (int depth = 0; depth < 40; ++depth) {
    auto& node =
        Writer::node_in(*graph, "If", {"t"}, {depth == 0 ? "y" : "y" + std::to_string(depth)});
    auto& branch = Writer::graph_attribute(node, "then_branch");
    branch.add_output()->set_name("y" + std::to_string(depth + 1));
    graph = &branch;
  }
  Writer::node_in(*graph, "Relu", {"x"}, {"y40"});
  EXPECT_EQ(refused(w.text()).code, Errc::corrupt);
}

TEST(OnnxImport, IntegerDivisionCannotTrap) {
  Writer w;
  const auto least = std::numeric_limits<std::int64_t>::min();
  w.input("x", {1}, TensorProto::INT64).output("y").output("z");
  w.ints("a", {least, 7, -7}).ints("b", {-1, 2, -1});
  w.node("Div", {"a", "b"}, {"q"});
  w.node("Add", {"q", "x"}, {"y"});
  w.node("Mod", {"a", "b"}, {"r"});
  w.node("Add", {"r", "x"}, {"z"});
  EXPECT_TRUE(import(w.text()));
  w.graph().mutable_initializer(1)->set_raw_data(std::string(24, '\0'));  // division by zero
  EXPECT_EQ(refused(w.text()).code, Errc::corrupt);
}

TEST(OnnxImport, EveryTruncationIsAnErrorOrAnotherModel) {
  const std::string text = classifier().text();
  ASSERT_TRUE(import(text));
  for (std::size_t size = 0; size < text.size(); size += 3) {
    const auto cut = import(text.substr(0, size));
    if (!cut) {
      EXPECT_EQ(cut.error().message().find('\n'), std::string::npos);
    }
  }
}

TEST(OnnxImport, FlippedBitsNeverCrash) {
  const std::string text = classifier().text();
  std::mt19937_64 random(5);
  std::size_t refusals = 0;
  for (int round = 0; round < 3000; ++round) {
    std::string changed = text;
    for (std::uint64_t flips = 1 + random() % 4; flips > 0; --flips) {
      // Mostly where the structure is; the rest are weights.
      const std::size_t at = random() % 3 == 0 ? random() % changed.size() : random() % 400;
      changed[at] = static_cast<char>(changed[at] ^ (1 << (random() % 8)));
    }
    const auto model = import(changed);
    if (model)
      continue;
    ++refusals;
    EXPECT_EQ(model.error().message().find('\n'), std::string::npos) << model.error().message();
  }
  EXPECT_GT(refusals, 300u);
}

TEST_F(OnnxFile, WeightsOutsideTheFileComeFromItsOwnFolderOnly) {
  Writer w = classifier();
  auto& weight = *w.graph().mutable_initializer(0);
  const std::string inside = weight.raw_data();
  weight.clear_raw_data();
  weight.set_data_location(TensorProto::EXTERNAL);
  const auto entry = [&](const std::string& key, const std::string& value) {
    auto* added = weight.add_external_data();
    added->set_key(key);
    added->set_value(value);
  };
  entry("location", "weights.bin");
  entry("offset", "16");
  entry("length", std::to_string(inside.size()));
  EXPECT_EQ(model::load(write("network.onnx", w.text())).error().code, Errc::not_found);
  write("weights.bin", std::string(16, 'x') + inside);
  const auto model = model::load(write("network.onnx", w.text()));
  ASSERT_TRUE(model) << model.error().message();
  const auto whole = *model::load(write("whole.onnx", classifier().text()));
  EXPECT_EQ((*model)->fingerprint(), whole->fingerprint());
  // Not in bytes alone, not past the file's end, not elsewhere, not through a link.
  EXPECT_EQ(refused(w.text()).code, Errc::unsupported);
  weight.mutable_external_data(1)->set_value("17");
  EXPECT_EQ(model::load(write("network.onnx", w.text())).error().code, Errc::corrupt);
  weight.mutable_external_data(1)->set_value("18446744073709551615");
  EXPECT_EQ(model::load(write("network.onnx", w.text())).error().code, Errc::corrupt);
  weight.mutable_external_data(1)->set_value("0");
  for (const char* place : {"/etc/passwd", "../weights.bin", "a/../weights.bin", "..", ""}) {
    weight.mutable_external_data(0)->set_value(place);
    EXPECT_EQ(model::load(write("network.onnx", w.text())).error().code, Errc::unsupported)
        << place;
  }
  fs::create_symlink(folder_ / "weights.bin", folder_ / "link.bin");
  weight.mutable_external_data(0)->set_value("link.bin");
  EXPECT_EQ(model::load(write("network.onnx", w.text())).error().code, Errc::not_found);
}

TEST_F(OnnxFile, ForeignFilesAreOneClearLine) {
  for (const char* text : {"", "This is not a model.\n", "\x08\x07garbage", "\x08"}) {
    const auto model = model::load(write("text.onnx", text));
    ASSERT_FALSE(model);
    EXPECT_EQ(model.error().code, Errc::corrupt);
    EXPECT_EQ(model.error().message().find('\n'), std::string::npos);
  }
  const auto neither = model::load(write("text.bin", "\x08\x07garbage"));
  ASSERT_FALSE(neither);
  names(neither.error(), {"TorchScript", "ONNX"});
}

// docs/onnx.md holds one line an operator; where it lies, the line that it should hold is printed.
TEST(OnnxDocs, TellOfEveryOperatorAndItsLimits) {
  const auto page = core::read_text(fs::path(CLEAVE_SOURCE_DIR) / "docs" / "onnx.md", 1 << 20);
  ASSERT_TRUE(page);
  std::size_t rows = 0;
  std::istringstream lines(*page);
  for (std::string line; std::getline(lines, line);) rows += line.starts_with("| `");
  const auto known = model::onnx_operators();
  EXPECT_EQ(rows, known.size());
  for (const auto& op : known) {
    const std::string line = "| `" + op.name + "` | " +
                             std::to_string(std::max(op.since, model::onnx_first_opset)) + " | " +
                             (op.limits.empty() ? "" : op.limits + " ") + "|\n";
    EXPECT_NE(page->find(line), std::string::npos) << line;
  }
}

}  // namespace
}  // namespace cleave::test
