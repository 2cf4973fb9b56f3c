// A folder with an authority and what it signed, for tests and benchmarks that use TLS.
#pragma once

#include <cleave/core/file.hpp>
#include <cleave/transport/certificates.hpp>
#include <cleave/transport/tls.hpp>

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <vector>

namespace cleave::tests {

// Deletes the folder in the end.
class Pki {
 public:
  Pki() {
    std::string name = (std::filesystem::temp_directory_path() / "cleave-pki.XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr)
      throw std::runtime_error("no temporary folder");
    folder_ = name;
    authority_ = transport::make_authority("test", day).value();
    write("ca.pem", authority_.certificate);
  }
  ~Pki() {
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }
  Pki(const Pki&) = delete;
  Pki& operator=(const Pki&) = delete;

  static constexpr core::Seconds day = core::Seconds(86400);

  [[nodiscard]] std::string path(const std::string& name) const { return folder_ / name; }
  std::string write(const std::string& name, const std::string& text) const {
    if (const auto written = core::write_file(path(name), text, core::Readers::owner); !written)
      throw std::runtime_error(written.error().message());
    return path(name);
  }
  // NAME.pem and NAME.key.
  void sign(const std::string& name, std::vector<std::string> names,
            transport::CertificateOptions::Role role = transport::CertificateOptions::Role::server,
            core::Seconds validity = day) const {
    const auto made =
        transport::make_certificate(authority_, {std::move(names), role, validity}).value();
    write(name + ".pem", made.certificate);
    write(name + ".key", made.key);
  }
  // A server with the certificate NAME.
  [[nodiscard]] transport::ServerSecurity server(const std::string& name) const {
    transport::ServerSecurity security;
    security.certificate_file = path(name + ".pem");
    security.key_file = path(name + ".key");
    return security;
  }
  [[nodiscard]] transport::ClientSecurity client() const {
    transport::ClientSecurity security;
    security.ca_file = path("ca.pem");
    return security;
  }

 private:
  std::filesystem::path folder_;
  transport::Credentials authority_;
};

}  // namespace cleave::tests
