// A stream of requests with head, link and tail at work at once: its throughput over that of the
// slowest of the three alone, measured before and after it in the same run. Head and tail sleep for
// a known time, as with accelerators beside the processor; encoding is part of the head, decoding
// of the tail, and these do compute. The link is the emulator's. The last column is the stream with
// one request at a time, which is what the sum of all stages allows.
#include "tests/support/fake_executable.hpp"
#include "tests/support/fake_table.hpp"

#include <cleave/exec/infer_service.hpp>
#include <cleave/exec/link_service.hpp>
#include <cleave/runtime/cloud_link.hpp>
#include <cleave/runtime/cloud_server.hpp>
#include <cleave/runtime/edge_client.hpp>
#include <cleave/transport/codec.hpp>
#include <cleave/transport/relay.hpp>

#include <time.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <functional>
#include <future>
#include <random>
#include <string>
#include <vector>

namespace {

using namespace cleave;
using core::Seconds;

constexpr int requests = 60, warm_up = 10;
constexpr std::size_t in_flight = 4;
constexpr std::int64_t width = 1 << 18;  // floats across the cut

double seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Not std::this_thread: a sleep to a point in time, so that what comes between is part of it.
void sleep_until(double when) {
  timespec time{};
  time.tv_sec = static_cast<time_t>(when);
  time.tv_nsec = static_cast<long>((when - static_cast<double>(time.tv_sec)) * 1e9);
  while (::clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, nullptr) == EINTR) {
  }
}

// A network of two steps that takes the given times.
class Timed final : public core::Executable {
 public:
  Timed(Seconds head, Seconds tail)
      : inner_(std::vector<Seconds>(2), width), head_(head), tail_(tail) {}
  [[nodiscard]] core::Fingerprint fingerprint() const override { return inner_.fingerprint(); }
  [[nodiscard]] std::span<const core::Cut> cuts() const override { return inner_.cuts(); }
  [[nodiscard]] std::uint32_t step_count() const override { return inner_.step_count(); }
  [[nodiscard]] core::Result<core::Values> run(core::CutId begin, core::CutId end,
                                               const core::Values& values) const override {
    const double start = seconds();
    auto result = inner_.run(begin, end, values);
    Seconds due;
    if (begin == cuts()[0].id && end != cuts()[0].id)
      due += head_;
    if (end == cuts()[2].id && begin != cuts()[2].id)
      due += tail_;
    sleep_until(start + due.count());
    if (result && end == cuts()[2].id) {
      // A classifier's few numbers.
      core::Tensor few = core::empty_tensor(core::DType::float32, {10});
      std::copy_n((*result)[0].tensor()->data_as<float>(), 10, few.data_as<float>());
      return core::Values{few};
    }
    return result;
  }
  [[nodiscard]] core::Result<core::Values> run_timed(core::CutId begin, core::CutId end,
                                                     const core::Values& values,
                                                     std::vector<core::StepTime>&) const override {
    return run(begin, end, values);
  }
  [[nodiscard]] core::Result<void> set_threads(int) const override { return {}; }
  [[nodiscard]] const tests::FakeExecutable& inner() const { return inner_; }

 private:
  tests::FakeExecutable inner_;
  Seconds head_, tail_;
};

// Requests a second behind the first few.
class Rate {
 public:
  void done() {
    if (++count_ == warm_up)
      from_ = seconds();
    to_ = seconds();
  }
  [[nodiscard]] double per_second() const { return (count_ - warm_up) / (to_ - from_); }

 private:
  int count_ = 0;
  double from_ = 0, to_ = 0;
};

double alone(const std::function<bool()>& once) {
  Rate rate;
  for (int i = 0; i < requests; ++i) {
    if (!once())
      std::abort();
    rate.done();
  }
  return rate.per_second();
}

// The bodies of requests, as many under way as in the stream.
double link_alone(runtime::CloudLink& link, std::size_t bytes) {
  std::deque<std::future<bool>> under_way;
  Rate rate;
  const auto end_oldest = [&] {
    if (!under_way.front().get())
      std::abort();
    under_way.pop_front();
    rate.done();
  };
  for (int i = 0; i < requests; ++i) {
    if (under_way.size() == in_flight)
      end_oldest();
    exec::RemoteCall call;
    call.service = exec::link_service;
    call.method = exec::sink_method;
    call.body.resize(bytes);
    const auto ended = std::make_shared<std::promise<bool>>();
    under_way.push_back(ended->get_future());
    link.start(std::move(call),
               [ended](const auto& reply) { ended->set_value(reply.has_value()); });
  }
  while (!under_way.empty()) end_oldest();
  return rate.per_second();
}

double stream(runtime::EdgeClient& client, const core::Values& inputs, std::size_t at_once) {
  std::deque<std::future<core::Result<runtime::Reply>>> under_way;
  Rate rate;
  const auto end_oldest = [&] {
    const auto reply = under_way.front().get();
    if (!reply || reply->fell_back) {
      std::fprintf(stderr, "%s\n",
                   reply ? reply->cloud_error->message().c_str() : reply.error().message().c_str());
      std::abort();
    }
    under_way.pop_front();
    rate.done();
  };
  for (int i = 0; i < requests; ++i) {
    if (under_way.size() == at_once)
      end_oldest();
    under_way.push_back(client.submit({.inputs = inputs}));
  }
  while (!under_way.empty()) end_oldest();
  return rate.per_second();
}

// What a layer may give: half of it behind a ReLU.
core::Values activations(const tests::FakeExecutable& model) {
  core::Values values = model.example();
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  core::Tensor& x = *values[0].tensor();
  for (std::int64_t i = 0; i < width; ++i) x.data_as<float>()[i] = std::max(0.0F, normal(random));
  return values;
}

void measure(const char* slowest, const std::string& codec, Seconds head, Seconds transfer,
             Seconds tail) {
  const auto model = std::make_shared<Timed>(head, tail);
  const auto models = std::make_shared<exec::ModelStore>();
  models->put(model);
  runtime::CloudServerOptions serving;
  serving.port = 0;
  const auto server = runtime::CloudServer::start(serving, models).value();

  const core::Values inputs = activations(model->inner());
  const core::Values crossing =
      model->run(model->cuts()[0].id, model->cuts()[1].id, inputs).value();
  std::vector<std::byte> message;
  exec::write_tail_request_header({model->fingerprint(), model->cuts()[1].id, codec, {}, {}},
                                  message);
  if (!transport::encode_values(crossing, **transport::find_codec(codec), message))
    std::abort();
  exec::seal(message);

  transport::RelayOptions between;
  between.target_port = server->port();
  between.up = between.down = core::Bytes(static_cast<double>(message.size())) / transfer;
  between.delay = core::milliseconds(2);
  const auto relay = transport::Relay::start(between).value();
  runtime::CloudLinkOptions to;
  to.host = "127.0.0.1";
  to.port = relay->port();
  const auto link = std::make_shared<runtime::CloudLink>(to);
  if (!link->wait_connected(Seconds(30)))
    std::abort();

  runtime::EdgeOptions edge;
  edge.model = model;
  table::ParetoTable table = tests::table_of(model->inner());
  table.rows = {table.rows[1]};
  table.rows[0].configuration.codecs = {codec};
  // What it takes, or a request would be given up for one that takes too long.
  table.rows[0].ingredients.edge_compute = head;
  table.rows[0].ingredients.cloud_compute = tail;
  table.rows[0].ingredients.up = core::Bytes(static_cast<double>(message.size()));
  edge.table = std::make_shared<table::ParetoTable>(std::move(table));
  edge.cloud = link;
  edge.policy = "fastest";
  edge.workers = static_cast<int>(in_flight);
  const auto client = runtime::EdgeClient::open(std::move(edge)).value();

  const exec::InferService service(*models, nullptr);
  const std::string name = slowest;
  const auto slowest_alone = [&] {
    if (name == "link")
      return link_alone(*link, message.size());
    if (name == "head")
      return alone([&] {
        const auto given = model->run(model->cuts()[0].id, model->cuts()[1].id, inputs);
        std::vector<std::byte> encoded;
        return given && transport::encode_values(*given, **transport::find_codec(codec), encoded);
      });
    return alone([&] { return service.tail(message).has_value(); });
  };
  const double before = slowest_alone();
  const double streamed = stream(*client, inputs, in_flight);
  const double after = slowest_alone();
  const double one = stream(*client, inputs, 1);
  const double bound = (before + after) / 2;
  std::printf("%-8s %-10s %6.1f %6.1f %6.1f %10.2f %10.2f %8.3f %12.2f\n", slowest, codec.c_str(),
              head.count() * 1e3, transfer.count() * 1e3, tail.count() * 1e3, bound, streamed,
              streamed / bound, one);
  std::fflush(stdout);
}

}  // namespace

int main() {
  std::printf("%zu requests in flight, %.1f MB across the cut before encoding\n", in_flight,
              4e-6 * static_cast<double>(width));
  std::printf("%-8s %-10s %20s %10s %10s %8s %12s\n", "", "", "stages (ms)", "alone", "stream", "",
              "one at a time");
  std::printf("%-8s %-10s %6s %6s %6s %10s %10s %8s %12s\n", "slowest", "codec", "head", "link",
              "tail", "1/s", "1/s", "ratio", "1/s");
  for (const char* codec : {"raw", "int8", "fp16+zstd"}) {
    const Seconds less = core::milliseconds(40), most = core::milliseconds(80);
    measure("link", codec, less, most, less);
    measure("head", codec, most, less, less);
    measure("tail", codec, less, less, most);
  }
  return 0;
}
