# The gateway as a container image.
#
#   docker build -t doorward .
#   docker run -p 8443:8443 -v ./doorward.toml:/etc/doorward/doorward.toml:ro -v doorward:/var/lib/doorward doorward
#
# In a container the listeners must stand on 0.0.0.0 or [::]; the admin address stays on 127.0.0.1, where the health check asks.

FROM rust:1.95-bookworm AS build
WORKDIR /build
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/build/target \
    cargo build --locked --profile dist --bin doorward \
 && cp target/dist/doorward /doorward

# Debian for its glibc; certificate authorities come along for issuers and mail servers. A user without rights, no package added.
FROM debian:bookworm-slim
RUN groupadd --system --gid 65532 doorward \
 && useradd --system --uid 65532 --gid doorward --no-create-home --home-dir /var/lib/doorward --shell /usr/sbin/nologin doorward \
 && install -d -o doorward -g doorward -m 0700 /var/lib/doorward
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /doorward /usr/local/bin/doorward
USER 65532:65532
ENV DOORWARD_DATA_DIR=/var/lib/doorward
VOLUME /var/lib/doorward
EXPOSE 8443 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s --retries=3 \
    CMD ["doorward", "healthcheck", "--config", "/etc/doorward/doorward.toml"]
ENTRYPOINT ["doorward"]
CMD ["serve", "--config", "/etc/doorward/doorward.toml"]
