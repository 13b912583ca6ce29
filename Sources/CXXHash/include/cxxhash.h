/* Digests of data: XXH3 of the xxHash library, compiled into this target, so that the module needs no other library. */
#ifndef CXXHASH_H
#define CXXHASH_H

#include <stddef.h>
#include <stdint.h>

/* XXH3, 64 bits. */
uint64_t cxxhash_64(const void *bytes, size_t count);

/* XXH3, 128 bits, of bytes that come in pieces. */
struct cxxhash_stream;
/* Returns NULL if there is no memory. */
struct cxxhash_stream *cxxhash_begin(void);
void cxxhash_add(struct cxxhash_stream *stream, const void *bytes, size_t count);
/* Writes the digest of all bytes so far, in xxHash's canonical form: 16 bytes, big-endian. */
void cxxhash_digest(const struct cxxhash_stream *stream, uint8_t *digest);
void cxxhash_end(struct cxxhash_stream *stream);

#endif
