// Heads that are no prefix of the sequence: what they compute, what is refused, and where they win.
#include "lib/model/zoo_torch.hpp"
#include "tests/model/on_device.hpp"

#include <cleave/exec/executor.hpp>
#include <cleave/exec/infer_service.hpp>
#include <cleave/exec/model_store.hpp>
#include <cleave/model/zoo.hpp>
#include <cleave/profiler/cut_search.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <random>
#include <set>
#include <thread>

namespace cleave::test {
namespace {

using core::StepRange;
using core::StepSet;

// Head then tail is the whole bit for bit, with the cut tensors as they are and with copies; what
// crosses is not changed; and the tail needs it.
void check_head(const model::Model& model, const StepSet& head, const core::Values& inputs,
                const core::Values& whole) {
  const auto first = model.cuts().front().id, last = model.cuts().back().id;
  const auto cut = model.cut_at(core::ranges_of(head));
  ASSERT_TRUE(cut) << cut.error().message();
  SCOPED_TRACE("after " + cut->layer + " " + cut->op + " of " + std::to_string(cut->position));
  const core::Values across = run(model, first, cut->id, inputs);
  const core::Values copies = resettled(across);
  EXPECT_TRUE(bit_equal(run(model, cut->id, last, across), whole));
  EXPECT_TRUE(bit_equal(across, copies)) << "the tail changed what crossed";
  EXPECT_TRUE(bit_equal(run(model, cut->id, last, copies), whole));
}

// A random set that is closed under what each step needs: some of what can run, in random order.
StepSet random_head(const core::StepGraph& graph, std::mt19937_64& random) {
  const auto size = static_cast<std::uint32_t>(random() % (graph.steps + 1));
  StepSet head(graph.steps, false);
  std::vector<std::uint32_t> order(graph.steps);
  for (std::uint32_t count = 0; count < size;) {
    for (std::uint32_t i = 0; i < graph.steps; ++i) order[i] = i;
    std::shuffle(order.begin(), order.end(), random);
    const auto ready = [&](std::uint32_t step) {
      return !head[step] && std::all_of(graph.order.begin(), graph.order.end(), [&](auto pair) {
        return pair.second != step || head[pair.first];
      });
    };
    head[*std::find_if(order.begin(), order.end(), ready)] = true;
    ++count;
  }
  return head;
}

// Random heads of a small network, all of them if there are few. Returns how many are no prefix.
std::size_t check_heads(const model::Model& model, const core::Values& inputs,
                        std::size_t tries = 200) {
  EXPECT_TRUE(model.set_threads(1));
  const core::StepGraph graph = model.step_graph();
  EXPECT_EQ(graph.steps, model.step_count());
  const core::Values whole = run_whole(model, inputs);
  std::mt19937_64 random(5);
  std::set<StepSet> heads;
  for (std::size_t i = 0; i < tries; ++i) {
    const StepSet head = random_head(graph, random);
    const auto ranges = core::ranges_of(head);
    if (core::is_prefix(ranges))
      continue;
    if (core::is_head(graph, head))
      heads.insert(head);
    else
      EXPECT_FALSE(model.cut_at(ranges));
  }
  for (const StepSet& head : heads) check_head(model, head, inputs, whole);
  return heads.size();
}

class GraphCut : public OnDevice {
 protected:
  std::shared_ptr<const model::Model> branches() const {
    return lowered(script(R"(
def forward(self, x):
    x = torch.conv2d(x, self.a)
    a = torch.relu(torch.conv2d(x, self.b))
    b = torch.relu(torch.conv2d(x, self.b2))
    c = torch.sigmoid(torch.max_pool2d(x, [2, 2], [1, 1]))
    return torch.cat([a, b, c], 1), b.sum()
)",
                          {{"a", weights({4, 3, 2, 2})},
                           {"b", weights({4, 4, 2, 2}, 2)},
                           {"b2", weights({4, 4, 2, 2}, 3)}}),
                   {"1x3x8x8"});
  }
};

INSTANTIATE_TEST_SUITE_P(Devices, GraphCut, testing::ValuesIn(devices()), device_name);

TEST_P(GraphCut, HeadsOfBranchesGiveTheWholeBitForBit) {
  const auto model = branches();
  EXPECT_GT(check_heads(*model, model->example_inputs(3), 600), 20u);
}

TEST_P(GraphCut, NestedHeadsRunOneAfterTheOther) {
  const auto model = branches();
  const auto inputs = model->example_inputs(3);
  ASSERT_TRUE(model->set_threads(1));
  const core::Values whole = run_whole(*model, inputs);
  const core::StepGraph graph = model->step_graph();
  std::mt19937_64 random(9);
  std::size_t nested = 0, apart = 0;
  for (int i = 0; i < 300; ++i) {
    const StepSet one = random_head(graph, random), other = random_head(graph, random);
    const auto a = model->cut_at(core::ranges_of(one)), b = model->cut_at(core::ranges_of(other));
    if (!a || !b || a->id == b->id)
      continue;
    bool inside = true;
    for (std::size_t s = 0; s < one.size(); ++s) inside = inside && (!one[s] || other[s]);
    const auto early = run(*model, model->cuts().front().id, a->id, inputs);
    const auto late = model->run(a->id, b->id, early);
    ASSERT_EQ(late.has_value(), inside);
    if (!inside) {
      ++apart;
      continue;
    }
    ++nested;
    EXPECT_TRUE(bit_equal(run(*model, b->id, model->cuts().back().id, *late), whole));
  }
  EXPECT_GT(nested, 20u);
  EXPECT_GT(apart, 20u);
}

TEST_P(GraphCut, EachHeadHasAnIdOfItsOwnWhichAnotherCopyOfTheModelGivesItToo) {
  const auto model = branches(), peer = branches();
  const core::StepGraph graph = model->step_graph();
  std::mt19937_64 random(1);
  std::map<core::CutId, StepSet> known;
  for (int i = 0; i < 400; ++i) {
    const StepSet head = random_head(graph, random);
    const auto ranges = core::ranges_of(head);
    const auto cut = model->cut_at(ranges);
    if (!cut)
      continue;
    const auto [at, fresh] = known.emplace(cut->id, head);
    EXPECT_EQ(at->second, head) << "two heads, one id";
    EXPECT_EQ(cut->head.empty(), core::is_prefix(ranges));
    EXPECT_EQ(cut->position, core::step_count(ranges));
    EXPECT_EQ(peer->cut_at(ranges)->id, cut->id);
  }
  EXPECT_GT(known.size(), 20u);
}

TEST_P(GraphCut, WhatIsNoHeadIsRefused) {
  const auto model = branches();
  const auto steps = model->step_count();
  const auto code = [&](std::vector<StepRange> head) {
    const auto cut = model->cut_at(head);
    return cut ? std::string("accepted") : std::string(to_string(cut.error().code));
  };
  const std::string invalid(to_string(core::Errc::invalid_argument));
  EXPECT_EQ(code({{1, 2}}), invalid);  // without what it needs
  EXPECT_EQ(code({{0, 2}, {steps - 1, steps}}), invalid);
  EXPECT_EQ(code({{0, 2}, {2, 3}}), invalid);
  EXPECT_EQ(code({{2, 1}}), invalid);
  EXPECT_EQ(code({{0, steps + 1}}), invalid);
  EXPECT_EQ(code({}), "accepted");
  EXPECT_EQ(code({{0, steps}}), "accepted");
  EXPECT_EQ(
      model->run(model->cuts().front().id, core::CutId{42}, model->example_inputs()).error().code,
      core::Errc::not_found);
}

TEST_P(GraphCut, AnIdThatNobodyMadeIsNotKnown) {
  const auto model = branches(), peer = branches();
  const core::StepGraph graph = model->step_graph();
  std::mt19937_64 random(3);
  StepSet head = random_head(graph, random);
  while (core::is_prefix(core::ranges_of(head)) || !core::is_head(graph, head))
    head = random_head(graph, random);
  const auto cut = model->cut_at(core::ranges_of(head));
  ASSERT_TRUE(cut);
  const auto inputs = model->example_inputs();
  const auto across = run(*model, model->cuts().front().id, cut->id, inputs);
  EXPECT_EQ(peer->run(cut->id, peer->cuts().back().id, across).error().code, core::Errc::not_found);
  ASSERT_TRUE(peer->cut_at(cut->head));
  EXPECT_TRUE(
      bit_equal(run(*peer, cut->id, peer->cuts().back().id, across), run_whole(*model, inputs)));
}

TEST_P(GraphCut, ManyThreadsMakeAndRunCutsAtOnce) {
  const auto model = branches();
  const auto inputs = model->example_inputs(3);
  ASSERT_TRUE(model->set_threads(1));
  const core::Values whole = run_whole(*model, inputs);
  std::atomic<int> wrong = 0, ran = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      (void)model->set_threads(1);
      std::mt19937_64 random(static_cast<std::uint64_t>(t % 2));
      for (int i = 0; i < 40; ++i) {
        const auto cut = model->cut_at(core::ranges_of(random_head(model->step_graph(), random)));
        if (!cut)
          continue;
        const auto across = model->run(model->cuts().front().id, cut->id, inputs);
        const auto out = across ? model->run(cut->id, model->cuts().back().id, *across) : across;
        wrong += out && bit_equal(*out, whole) ? 0 : 1;
        ++ran;
      }
    });
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_GT(ran, 50);
}

// A cloud in the same process that loaded the model by itself.
class Peer final : public exec::Remote {
 public:
  explicit Peer(std::shared_ptr<const model::Model> model) { models_.put(std::move(model)); }
  core::Result<exec::RemoteReply> call(exec::RemoteCall call) override {
    auto reply = service_.tail(call.body);
    if (!reply)
      return core::fail(reply);
    return exec::RemoteReply{std::move(*reply), {}, {}, {}, {}};
  }

 private:
  exec::ModelStore models_;
  exec::InferService service_{models_, nullptr};
};

TEST_P(GraphCut, AHostThatHasNotHeardOfTheCutLearnsItFromTheRequest) {
  const auto model = branches();
  Peer cloud(branches());
  exec::Executor edge(branches(), nullptr, &cloud);
  const auto inputs = model->example_inputs(3);
  ASSERT_TRUE(model->set_threads(1));
  const core::Values whole = run_whole(*model, inputs);
  const core::StepGraph graph = model->step_graph();
  std::mt19937_64 random(4);
  std::size_t ran = 0;
  for (int i = 0; i < 100; ++i) {
    const auto cut = model->cut_at(core::ranges_of(random_head(graph, random)));
    if (!cut || cut->position == graph.steps)
      continue;
    core::Configuration configuration;
    configuration.stages = {{core::edge_host, cut->id, {}, cut->head},
                            {core::cloud_host, model->cuts().back().id, {}}};
    configuration.codecs = {"raw"};
    const auto execution = edge.execute(configuration, inputs);
    ASSERT_TRUE(execution) << execution.error().message();
    EXPECT_FALSE(execution->fell_back)
        << (execution->remote_error ? execution->remote_error->message() : "");
    EXPECT_TRUE(bit_equal(execution->outputs, whole));
    ++ran;
    // The id of another cut is noticed on the edge; a forged request by the cloud.
    if (cut->head.empty())
      continue;
    configuration.stages[0].end.value ^= 1;
    const auto mistaken = edge.execute(configuration, inputs);
    ASSERT_FALSE(mistaken);
    EXPECT_EQ(mistaken.error().code, core::Errc::mismatch);
  }
  EXPECT_GT(ran, 20u);
}

// Networks where reordering or copying at the wrong place would show.
TEST_P(GraphCut, NoHeadOfAHostileNetworkChangesTheResult) {
  const std::vector<std::string> sources = {
      R"(
def forward(self, x):
    x = torch.matmul(x, self.a)
    same = torch.atleast_2d(x)
    y = torch.sigmoid(x)
    z = torch.matmul(self.a, x.t())
    same.mul_(3)
    return torch.matmul(x, self.a) + y + same + z.sum()
)",
      R"(
def forward(self, x):
    x = torch.matmul(x, self.a)
    view = x[:, 0:3]
    both = [view, x]
    y = torch.matmul(both[1], self.a)
    torch.relu_(both[0])
    z = torch.sigmoid(y)
    return torch.matmul(x, self.a) + y + z
)",
      R"(
def forward(self, x):
    x = torch.matmul(x, self.a)
    parts = torch.broadcast_tensors([x, x])
    y = torch.sigmoid(x)
    w = torch.tanh(x)
    parts[0].mul_(3)
    return torch.matmul(x, self.a) + y + parts[1] + w
)",
      R"(
def forward(self, x):
    y = torch.matmul(x, self.a)
    corner = y[0:1, 0:2]
    s = torch.sigmoid(corner)
    t = torch.tanh(x)
    whole = torch.as_strided(corner, [2, 6], [6, 1], 0)
    return torch.matmul(whole, self.a) + s.sum() + t
)",
      R"(
def forward(self, x):
    features = [x]
    t = torch.tanh(x)
    for i in range(3):
        features.append(torch.relu(torch.matmul(features[-1], self.a)))
    return torch.cat(features, 1), t * 2
)",
      R"(
def forward(self, x):
    x = torch.matmul(x, self.a)
    same = torch.dropout(x, 0.5, False)
    y = torch.sigmoid(x)
    z = torch.tanh(y)
    same.mul_(3)
    w = torch.matmul(x, self.a)
    same.add_(z)
    return torch.matmul(x, self.a) + y + same + w
)",
      R"(
def forward(self, x):
    q, k, v = torch.chunk(torch.matmul(x, self.a), 3, 1)
    p = torch.softmax(torch.matmul(q, k.t()), 1)
    t = torch.tanh(v)
    x.add_(1)
    return torch.matmul(p, v) + t.sum(), x
)"};
  std::size_t heads = 0;
  for (const auto& source : sources) {
    SCOPED_TRACE(source);
    model::LoadOptions options;
    options.all_cuts = true;
    options.device = device();
    options.inputs = {*model::parse_input_spec("2x6")};
    const auto model =
        model::from_module(script(source, {{"a", weights({6, 6})}}), "network", options);
    if (!model)  // libtorch's passes may have spoilt it: nothing to cut
      continue;
    heads += check_heads(**model, (*model)->example_inputs(3));
  }
  EXPECT_GT(heads, 15u);
}

// A random network of views, changes in place, lists and operators that share memory unsaid. Some
// of its values are outputs.
std::string random_source(std::uint64_t seed) {
  std::mt19937_64 random(seed);
  const auto pick = [&](std::size_t below) { return static_cast<std::size_t>(random() % below); };
  std::string body = "def forward(self, x):\n    v0 = torch.matmul(x, self.a)\n";
  std::size_t count = 1;
  const auto value = [&] {
    return "v" + std::to_string(count - 1 - std::min(pick(count), pick(count)));
  };
  for (int line = 0; line < 9; ++line) {
    const std::string one = value(), other = value(), fresh = "v" + std::to_string(count);
    const std::string made[] = {"torch.matmul(" + one + ", self.a)",
                                "torch.tanh(" + one + ")",
                                one + " + " + other,
                                "torch.sigmoid(" + one + ") * " + other,
                                one + ".t()",
                                "torch.atleast_2d(" + one + ")",
                                "torch.dropout(" + one + ", 0.5, False)",
                                "torch.einsum(\"ij->ji\", [" + one + "])",
                                "torch.broadcast_tensors([" + one + ", " + other + "])[0]",
                                "torch.cat([" + one + "[:, 0:3], " + other + "[:, 3:6]], 1)"};
    const std::string changed[] = {one + ".mul_(0.5)", "torch.relu_(" + one + "[:, 0:3])",
                                   one + "[1:4].add_(" + other + "[0:3])"};
    if (pick(4) == 0) {
      body += "    " + changed[pick(std::size(changed))] + "\n";
    } else {
      body += "    " + fresh + " = " + made[pick(std::size(made))] + "\n";
      ++count;
    }
  }
  return body + "    return v" + std::to_string(count - 1) + " + " + value() + ", " + value() +
         "\n";
}

TEST_P(GraphCut, NoHeadOfARandomHostileNetworkChangesTheResult) {
  std::size_t heads = 0, networks = 0;
  for (std::uint64_t seed = 0; seed < 150; ++seed) {
    const std::string source = random_source(seed);
    SCOPED_TRACE(source);
    model::LoadOptions options;
    options.all_cuts = true;
    options.device = device();
    options.inputs = {*model::parse_input_spec("6x6")};
    const auto model =
        model::from_module(script(source, {{"a", weights({6, 6})}}), "network", options);
    if (!model)
      continue;
    ++networks;
    heads += check_heads(**model, (*model)->example_inputs(seed), 60);
  }
  std::printf("[  heads   ] %zu of %zu networks\n", heads, networks);
  EXPECT_GT(networks, 40u);
  EXPECT_GT(heads, 300u);
}

// Multiplications of a step, roughly: what it takes, on a machine that does nothing else.
std::vector<double> work_of(const model::Model& model) {
  std::vector<double> work;
  for (const model::StepInfo& step : model.steps()) {
    double elements = 1;
    for (const auto size : step.output_sizes) elements *= static_cast<double>(size);
    if (!step.computes)
      elements = 0;
    const double channels =
        step.output_sizes.size() > 1 ? static_cast<double>(step.output_sizes[1]) : 1;
    work.push_back(std::max(elements, elements / channels * static_cast<double>(step.parameters)));
  }
  return work;
}

// An edge and a cloud with a graphics processor each: 100 and 2000 GFLOP/s, `start` and 10 us for
// starting a step; from 1 Mbit/s to 1 Gbit/s, raw or at a quarter.
std::vector<profiler::CutCosts> costs_of(const model::Model& model, double edge_start = 150e-6) {
  profiler::CutCosts costs;
  const auto work = work_of(model);
  for (std::size_t step = 0; step < work.size(); ++step) {
    const double start = model.steps()[step].computes ? 1 : 0;
    costs.edge.push_back(work[step] * 2 / 100e9 + start * edge_start);
    costs.cloud.push_back(work[step] * 2 / 2000e9 + start * 10e-6);
  }
  costs.least_per_byte = 0.25 * 8 / 1e9;
  costs.most_per_byte = 8 / 1e6;
  return {costs};
}

std::shared_ptr<const model::Model> zoo_network(const std::string& name, model::PlanKind plan) {
  auto module = model::make_zoo_module(name, 1);
  if (!module)
    throw std::runtime_error(module.error().message());
  for (const model::ZooEntry& entry : model::zoo()) {
    if (entry.name != name)
      continue;
    model::LoadOptions options;
    options.all_cuts = true;
    options.plan = plan;
    options.inputs = {{"", core::DType::float32, entry.input}};
    auto model = model::from_module(*module, name, options);
    if (!model)
      throw std::runtime_error(model.error().message());
    return *model;
  }
  throw std::out_of_range(name);
}

class GoogLeNetCut : public testing::TestWithParam<model::PlanKind> {};

INSTANTIATE_TEST_SUITE_P(Plans, GoogLeNetCut,
                         testing::Values(model::PlanKind::fused, model::PlanKind::unfused),
                         [](const auto& plan) {
                           return plan.param == model::PlanKind::fused ? "fused" : "unfused";
                         });

TEST_P(GoogLeNetCut, AcrossBranchesBeatsEveryPrefixAndAllOptimalOnesAreExact) {
  const auto model = zoo_network("googlenet", GetParam());
  const core::StepGraph graph = model->step_graph();
  // A fused step stands for two or three.
  const auto costs = costs_of(*model, GetParam() == model::PlanKind::fused ? 300e-6 : 150e-6);
  const auto found = profiler::optimal_cuts(graph, costs);
  ASSERT_TRUE(found) << found.error().message();
  EXPECT_LT(found->heads.size(), 60u);

  ASSERT_TRUE(model->set_threads(1));
  const auto inputs = model->example_inputs(7);
  const core::Values whole = run_whole(*model, inputs);
  for (const StepSet& head : found->heads) {
    const auto ranges = core::ranges_of(head);
    const auto start = std::chrono::steady_clock::now();
    ASSERT_TRUE(model->cut_at(ranges));
    const auto made = std::chrono::steady_clock::now();
    ASSERT_TRUE(model->cut_at(ranges));
    const auto found_again = std::chrono::steady_clock::now();
    const auto us = [](auto time) {
      return std::chrono::duration<double, std::micro>(time).count();
    };
    std::printf("[  cut     ] of %u steps made known in %.0f us, found again in %.1f us\n",
                core::step_count(ranges), us(made - start), us(found_again - made));
  }
  std::size_t across_branches = 0, winners = 0;
  double largest_gain = 0;
  for (const StepSet& head : found->heads) {
    check_head(*model, head, inputs, whole);
    const auto ranges = core::ranges_of(head);
    if (core::is_prefix(ranges))
      continue;
    ++across_branches;
    // The bytes are those of the tensors that really cross.
    const auto cut = model->cut_at(ranges);
    double bytes = 0;
    for (const auto& tensor : tensors(run(*model, model->cuts().front().id, cut->id, inputs)))
      bytes += static_cast<double>(tensor.nbytes());
    EXPECT_EQ(cut->bytes.count(), bytes) << cut->layer;
    double gain = 0;
    for (double per_byte = costs[0].least_per_byte; per_byte < costs[0].most_per_byte;
         per_byte *= 1.1) {
      double prefix = std::numeric_limits<double>::infinity();
      StepSet before(graph.steps, false);
      for (std::uint32_t position = 0; position <= graph.steps; ++position) {
        const double sending = position == graph.steps ? 0 : per_byte;
        prefix = std::min(prefix, profiler::cost_of(graph, before, costs[0], sending));
        if (position < graph.steps)
          before[position] = true;
      }
      gain = std::max(gain, 1 - profiler::cost_of(graph, head, costs[0], per_byte) / prefix);
    }
    winners += gain > 0.01 ? 1 : 0;
    largest_gain = std::max(largest_gain, gain);
    std::printf("[  cut     ] %s: %.0f bytes, up to %.1f %% below every prefix\n",
                cut->layer.c_str(), bytes, gain * 100);
  }
  EXPECT_GE(across_branches, 1u);
  EXPECT_GE(winners, 1u);
  std::printf("[  search  ] %u steps, %zu optimal heads of which %zu across branches, %zu solved\n",
              graph.steps, found->heads.size(), across_branches, found->solved);
}

TEST_P(GraphCut, OnAChainTheOptimalCutsArePrefixes) {
  const auto model = lowered(script(R"(
def forward(self, x):
    x = torch.relu(torch.conv2d(x, self.a))
    x = torch.relu(torch.conv2d(x, self.b))
    return torch.relu(torch.conv2d(x, self.b))
)",
                                    {{"a", weights({4, 3, 2, 2})}, {"b", weights({4, 4, 2, 2})}}),
                             {"1x3x8x8"});
  const auto found = profiler::optimal_cuts(model->step_graph(), costs_of(*model));
  ASSERT_TRUE(found);
  for (const StepSet& head : found->heads) EXPECT_TRUE(core::is_prefix(core::ranges_of(head)));
}

}  // namespace
}  // namespace cleave::test
