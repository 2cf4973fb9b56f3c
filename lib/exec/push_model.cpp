#include <cleave/exec/push_model.hpp>
#include <cleave/exec/push_protocol.hpp>

#include <algorithm>
#include <fstream>
#include <vector>

namespace cleave::inline v0::exec {
namespace {

using core::Errc;
using core::fail;

core::Result<std::vector<std::byte>> ask(Remote& cloud, std::string_view method,
                                         std::vector<std::byte> body, core::Seconds patience) {
  RemoteCall call;
  call.service = push_service;
  call.method = method;
  call.body = std::move(body);
  call.patience = call.remaining = patience;
  auto reply = cloud.call(std::move(call));
  if (!reply && reply.error().code == Errc::not_found && method == begin_method) {
    core::Error error = reply.error();
    error.hint = "its operator must allow it: cleave serve --allow-push";
    return tl::unexpected<core::Error>(std::move(error));
  }
  if (!reply)
    return fail(reply);
  return std::move(reply->body);
}

core::Result<std::uint64_t> ask_offset(Remote& cloud, std::string_view method,
                                       std::vector<std::byte> body, core::Seconds patience) {
  const auto reply = ask(cloud, method, std::move(body), patience);
  if (!reply)
    return fail(reply);
  return parse_push_offset(*reply);
}

}  // namespace

core::Result<core::Fingerprint> push_model(Remote& cloud, const std::filesystem::path& file,
                                           const std::string& digest, const PushOptions& options) {
  std::error_code error;
  const std::uint64_t size = std::filesystem::file_size(file, error);
  if (error)
    return fail(Errc::not_found, error.message(), file.string());
  auto offset =
      ask_offset(cloud, begin_method, write_push_begin({digest, size, file.extension().string()}),
                 options.patience);
  if (!offset)
    return fail(offset);
  std::ifstream stream(file, std::ios::binary);
  std::vector<std::byte> piece;
  while (*offset < size) {
    if (options.progress)
      options.progress(*offset, size);
    piece.resize(static_cast<std::size_t>(
        std::min<std::uint64_t>(std::max<std::size_t>(options.piece, 1), size - *offset)));
    stream.seekg(static_cast<std::streamoff>(*offset));
    if (!stream.read(reinterpret_cast<char*>(piece.data()),
                     static_cast<std::streamsize>(piece.size())))
      return fail(Errc::io, "cannot read", file.string(), "was it changed meanwhile?");
    const std::uint64_t expected = *offset + piece.size();
    offset = ask_offset(cloud, append_method, write_push_append({digest, *offset, piece}),
                        options.patience);
    if (!offset)
      return fail(offset);
    if (*offset != expected)
      return fail(Errc::corrupt, "the cloud took another number of bytes than it was sent");
  }
  if (options.progress)
    options.progress(size, size);
  const auto reply = ask(cloud, commit_method, write_push_commit(digest), options.commit_patience);
  if (!reply)
    return fail(reply);
  return parse_push_committed(*reply);
}

}  // namespace cleave::inline v0::exec
