// gRPC, synchronous and insecure: tensors on one bidirectional stream, round trips as unary calls.
// Messages are byte buffers that borrow the tensor's memory and are read where they lie: nothing is
// copied for protobuf's sake. What a generated stub and service would contain is written out.
#include "bench/link/peer.hpp"
#include "bench/link/tensors.hpp"
#include "bench/link/waits.hpp"

#include <grpcpp/grpcpp.h>
#include <grpcpp/impl/client_unary_call.h>
#include <grpcpp/impl/rpc_method.h>
#include <grpcpp/impl/rpc_service_method.h>
#include <grpcpp/impl/service_type.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/method_handler.h>
#include <grpcpp/support/sync_stream.h>

#include <atomic>
#include <future>

namespace bench_link {
namespace {

using grpc::ByteBuffer;
using grpc::internal::RpcMethod;
using Stream = grpc::ServerReaderWriter<ByteBuffer, ByteBuffer>;

constexpr const char* stream_name = "/bench.Link/Tensors";
constexpr const char* unary_name = "/bench.Link/Echo";
constexpr const char* tensor_name = "/bench.Link/Tensor";

ByteBuffer borrow(std::span<const std::byte> bytes) {
  const grpc::Slice slice(bytes.data(), bytes.size(), grpc::Slice::STATIC_SLICE);
  return ByteBuffer(&slice, 1);
}

ByteBuffer copy_of(const Ack& ack) {
  const grpc::Slice slice(&ack, sizeof ack);
  return ByteBuffer(&slice, 1);
}

Ack consume(const ByteBuffer& buffer) {
  std::vector<grpc::Slice> slices;
  if (!buffer.Dump(&slices).ok())
    throw std::runtime_error("a message that cannot be read");
  Consumer consumer;
  for (const grpc::Slice& slice : slices)
    consumer.add(std::as_bytes(std::span(slice.begin(), slice.size())));
  return consumer.ack();
}

Ack ack_of(const ByteBuffer& buffer) {
  grpc::Slice slice;
  Ack ack;
  if (!buffer.DumpToSingleSlice(&slice).ok() || slice.size() != sizeof ack)
    throw std::runtime_error("an answer of the wrong size");
  std::memcpy(&ack, slice.begin(), sizeof ack);
  return ack;
}

class Service final : public grpc::Service {
 public:
  Service() {
    AddMethod(new grpc::internal::RpcServiceMethod(
        stream_name, RpcMethod::BIDI_STREAMING,
        new grpc::internal::BidiStreamingHandler<Service, ByteBuffer, ByteBuffer>(
            [](Service*, grpc::ServerContext*, Stream* stream) {
              ByteBuffer tensor;
              while (stream->Read(&tensor)) {
                const Ack ack = consume(tensor);
                tensor.Clear();
                stream->Write(copy_of(ack));
              }
              return grpc::Status::OK;
            },
            this)));
    add_unary(unary_name, [](const ByteBuffer& in) { return in; });
    add_unary(tensor_name, [](const ByteBuffer& in) { return copy_of(consume(in)); });
  }

 private:
  void add_unary(const char* name, ByteBuffer (*work)(const ByteBuffer&)) {
    AddMethod(new grpc::internal::RpcServiceMethod(
        name, RpcMethod::NORMAL_RPC,
        new grpc::internal::RpcMethodHandler<Service, ByteBuffer, ByteBuffer>(
            [work](Service*, grpc::ServerContext*, const ByteBuffer* in, ByteBuffer* out) {
              *out = work(*in);
              return grpc::Status::OK;
            },
            this)));
  }
};

class GrpcServer final : public Server {
 public:
  explicit GrpcServer(const std::string& address) {
    grpc::ServerBuilder builder;
    builder.SetMaxReceiveMessageSize(-1);
    builder.AddListeningPort(address + ":0", grpc::InsecureServerCredentials(), &port_);
    builder.RegisterService(&service_);
    server_ = builder.BuildAndStart();
    if (!server_ || port_ == 0)
      throw std::runtime_error("gRPC cannot listen on " + address);
  }
  ~GrpcServer() override { server_->Shutdown(std::chrono::system_clock::now()); }
  [[nodiscard]] std::uint16_t port() const override { return static_cast<std::uint16_t>(port_); }

 private:
  Service service_;
  std::unique_ptr<grpc::Server> server_;
  int port_ = 0;
};

class GrpcClient final : public Client {
 public:
  explicit GrpcClient(const Place& server) {
    grpc::ChannelArguments arguments;
    arguments.SetMaxReceiveMessageSize(-1);
    channel_ = grpc::CreateCustomChannel(server.address + ":" + std::to_string(server.port),
                                         grpc::InsecureChannelCredentials(), arguments);
  }

  double send(const Load& load) override {
    Tensors& tensors = stock_.of(load);
    grpc::ClientContext context;
    const RpcMethod method(stream_name, RpcMethod::BIDI_STREAMING, channel_);
    const std::unique_ptr<grpc::ClientReaderWriter<ByteBuffer, ByteBuffer>> stream(
        grpc::internal::ClientReaderWriterFactory<ByteBuffer, ByteBuffer>::Create(
            channel_.get(), method, &context));
    std::size_t sent = 0, answered = 0;
    const double start = seconds();
    while (answered < load.count) {
      for (; sent < load.count && sent - answered < load.in_flight; ++sent)
        if (!stream->Write(borrow(*tensors.take())))
          throw std::runtime_error("the stream broke");
      ByteBuffer answer;
      if (!stream->Read(&answer))
        throw std::runtime_error("the stream broke");
      tensors.acknowledge(ack_of(answer));
      ++answered;
    }
    const double took = seconds() - start;
    stream->WritesDone();
    if (const grpc::Status status = stream->Finish(); !status.ok())
      throw std::runtime_error(status.error_message());
    return took;
  }

  std::vector<double> round_trips(std::size_t bytes, std::size_t count) override {
    const std::vector<std::byte> buffer(bytes);
    std::vector<double> times;
    for (std::size_t i = 0; i < count; ++i) {
      const double start = seconds();
      call(unary_name, borrow(buffer));
      times.push_back(seconds() - start);
    }
    return times;
  }

  std::vector<double> waits(std::size_t large, std::size_t small, std::size_t count) override {
    Tensors tensors(large, 1);
    return waits_behind(
        [&] { tensors.acknowledge(ack_of(call(tensor_name, borrow(*tensors.take())))); },
        [&] { round_trips(small, 1); }, count);
  }

 private:
  ByteBuffer call(const char* name, const ByteBuffer& request) {
    grpc::ClientContext context;
    const RpcMethod method(name, RpcMethod::NORMAL_RPC, channel_);
    ByteBuffer response;
    const grpc::Status status = grpc::internal::BlockingUnaryCall<ByteBuffer, ByteBuffer>(
        channel_.get(), method, &context, request, &response);
    if (!status.ok())
      throw std::runtime_error(status.error_message());
    return response;
  }

  std::shared_ptr<grpc::Channel> channel_;
  Stock stock_;
};

}  // namespace

Peer grpc_peer() {
  return {"grpc", [](const std::string& address) { return std::make_unique<GrpcServer>(address); },
          [](const Place& server) { return std::make_unique<GrpcClient>(server); }};
}

}  // namespace bench_link
