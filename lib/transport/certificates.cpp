#include "lib/transport/asio.hpp"
#include "lib/transport/openssl.hpp"

#include <cleave/transport/certificates.hpp>

#include <openssl/bn.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <ctime>

namespace cleave::inline v0::transport {
namespace {

using core::Errc;
using core::fail;
using core::Result;
using core::Seconds;

// Clocks of two machines of one fleet differ by less.
constexpr long clock_skew = 3600;

tl::unexpected<core::Error> broken(std::string_view doing) {
  return fail(Errc::internal, "OpenSSL cannot " + std::string(doing) + ": " + openssl_complaint());
}

std::string text_of(BIO* memory) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(memory, &data);
  return {data, static_cast<std::size_t>(std::max(size, 0L))};
}

// RFC 5280's DNS names, with "*." in front allowed, in letters, digits and hyphens.
bool is_dns_name(std::string_view name) {
  if (name.starts_with("*."))
    name.remove_prefix(2);
  if (name.empty() || name.size() > 253 || name.front() == '.' || name.back() == '.')
    return false;
  return std::all_of(name.begin(), name.end(), [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '.' || c == '_';
  });
}

// "IP:10.0.0.2,DNS:cloud.lan": the form that X509V3_EXT_conf_nid reads. Nothing in a checked name
// can end an entry early.
Result<std::string> alternative_names(const std::vector<std::string>& names) {
  std::string list;
  for (const std::string& name : names) {
    error_code error;
    asio::ip::make_address(name, error);
    if (error && !is_dns_name(name))
      return fail(Errc::invalid_argument, "neither a DNS name nor an address", name,
                  "write it like cloud.example or 192.0.2.1");
    list += (list.empty() ? "" : ",") + std::string(error ? "DNS:" : "IP:") + name;
  }
  return list;
}

bool extend(X509* certificate, X509* issuer, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  const std::unique_ptr<X509_EXTENSION, FreeBy<X509_EXTENSION_free>> extension(
      X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str()));
  return extension && X509_add_ext(certificate, extension.get(), -1) == 1;
}

// Everything but the extensions and the signature.
Result<CertificatePtr> blank(const std::string& common_name, Seconds validity, EVP_PKEY* key) {
  CertificatePtr certificate(X509_new());
  const std::unique_ptr<BIGNUM, FreeBy<BN_free>> serial(BN_new());
  X509_NAME* const name = certificate ? X509_get_subject_name(certificate.get()) : nullptr;
  const auto* const text = reinterpret_cast<const unsigned char*>(common_name.data());
  const std::time_t now = std::time(nullptr);
  // X.509 bounds a common name at 64 characters; who verifies looks at the alternative names.
  const int length = static_cast<int>(std::min<std::size_t>(common_name.size(), 64));
  if (!certificate || !serial || X509_set_version(certificate.get(), X509_VERSION_3) != 1 ||
      BN_rand(serial.get(), 127, BN_RAND_TOP_ANY, BN_RAND_BOTTOM_ANY) != 1 ||
      BN_to_ASN1_INTEGER(serial.get(), X509_get_serialNumber(certificate.get())) == nullptr ||
      ASN1_TIME_adj(X509_getm_notBefore(certificate.get()), now, 0,
                    std::min(-clock_skew, std::lround(validity.count()) - clock_skew)) == nullptr ||
      ASN1_TIME_adj(X509_getm_notAfter(certificate.get()), now, 0, std::lround(validity.count())) ==
          nullptr ||
      X509_set_pubkey(certificate.get(), key) != 1 ||
      X509_NAME_add_entry_by_txt(name, "O", MBSTRING_UTF8,
                                 reinterpret_cast<const unsigned char*>("cleave"), -1, -1,
                                 0) != 1 ||
      X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, text, length, -1, 0) != 1)
    return broken("make a certificate");
  return certificate;
}

Result<Credentials> written(X509* certificate, EVP_PKEY* key) {
  const BioPtr certificate_out(BIO_new(BIO_s_mem())), key_out(BIO_new(BIO_s_secmem()));
  if (!certificate_out || !key_out || PEM_write_bio_X509(certificate_out.get(), certificate) != 1 ||
      PEM_write_bio_PKCS8PrivateKey(key_out.get(), key, nullptr, nullptr, 0, nullptr, nullptr) != 1)
    return broken("write a certificate");
  return Credentials{text_of(certificate_out.get()), text_of(key_out.get())};
}

KeyPtr new_key() {
  return KeyPtr(EVP_EC_gen("P-256"));
}

}  // namespace

Result<Credentials> make_authority(const std::string& name, Seconds validity) {
  if (name.empty())
    return fail(Errc::invalid_argument, "an authority needs a name");
  if (validity <= Seconds(0))
    return fail(Errc::invalid_argument, "an authority that is valid at no time");
  const KeyPtr key = new_key();
  if (!key)
    return broken("make a key");
  auto certificate = blank(name, validity, key.get());
  if (!certificate)
    return fail(certificate);
  X509* const x509 = certificate->get();
  if (X509_set_issuer_name(x509, X509_get_subject_name(x509)) != 1 ||
      !extend(x509, x509, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") ||
      !extend(x509, x509, NID_key_usage, "critical,keyCertSign,cRLSign") ||
      !extend(x509, x509, NID_subject_key_identifier, "hash") ||
      X509_sign(x509, key.get(), EVP_sha256()) == 0)
    return broken("make a certificate");
  return written(x509, key.get());
}

Result<Credentials> make_certificate(const Credentials& authority,
                                     const CertificateOptions& options) {
  if (options.names.empty())
    return fail(Errc::invalid_argument, "a certificate needs a name");
  const auto names = alternative_names(options.names);
  if (!names)
    return fail(names);
  const BioPtr certificate_in(BIO_new_mem_buf(authority.certificate.data(),
                                              static_cast<int>(authority.certificate.size()))),
      key_in(BIO_new_mem_buf(authority.key.data(), static_cast<int>(authority.key.size())));
  // An empty password instead of a question on the terminal.
  char no_password[] = "";
  const CertificatePtr issuer(
      PEM_read_bio_X509(certificate_in.get(), nullptr, nullptr, no_password));
  const KeyPtr issuer_key(PEM_read_bio_PrivateKey(key_in.get(), nullptr, nullptr, no_password));
  if (!issuer || !issuer_key || X509_check_private_key(issuer.get(), issuer_key.get()) != 1)
    return fail(Errc::corrupt, "not a certificate with its private key: " + openssl_complaint(),
                "authority", "give both files of one authority");
  const KeyPtr key = new_key();
  if (!key)
    return broken("make a key");
  auto certificate = blank(options.names.front(), options.validity, key.get());
  if (!certificate)
    return fail(certificate);
  X509* const x509 = certificate->get();
  const bool server = options.role == CertificateOptions::Role::server;
  if (X509_set_issuer_name(x509, X509_get_subject_name(issuer.get())) != 1 ||
      !extend(x509, issuer.get(), NID_basic_constraints, "critical,CA:FALSE") ||
      !extend(x509, issuer.get(), NID_key_usage, "critical,digitalSignature") ||
      !extend(x509, issuer.get(), NID_ext_key_usage, server ? "serverAuth" : "clientAuth") ||
      !extend(x509, issuer.get(), NID_subject_key_identifier, "hash") ||
      !extend(x509, issuer.get(), NID_authority_key_identifier, "keyid") ||
      !extend(x509, issuer.get(), NID_subject_alt_name, *names) ||
      X509_sign(x509, issuer_key.get(), EVP_sha256()) == 0)
    return broken("make a certificate");
  return written(x509, key.get());
}

}  // namespace cleave::inline v0::transport
