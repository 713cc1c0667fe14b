/* A certificate of a test server's own, and virtual hosts that use it. */
import path from 'node:path';
import { execFileSync } from 'node:child_process';

/** Makes a key and a self-signed certificate in the server's directory; the directives that name them. */
function certificate(server) {
  const file = path.join(server.dir, 'server.pem');
  const request = ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=127.0.0.1'];
  execFileSync('openssl', [...request, '-keyout', file, '-out', `${file}.crt`], { stdio: 'ignore' });
  return `SSLCertificateKeyFile "${file}"\nSSLCertificateFile "${file}.crt"`;
}

/** What a Server that also listens for TLS (on its tlsPort) is made with; `lines` go into that virtual host. */
export const tlsOptions = (lines = []) => ({
  tlsPort: true,
  modules: ['ssl'],
  directives: [(s) => `Listen 127.0.0.1:${s.tlsPort}`],
  vhosts: [{ name: '127.0.0.1', port: (s) => s.tlsPort, lines: ['SSLEngine on', certificate, ...lines] }],
});

/** What mod_ssl says at the start about such a certificate. */
export const TLS_NOISE = [/AH01906: .* is a CA certificate/, /AH01873: Init: Session Cache is not configured/];
