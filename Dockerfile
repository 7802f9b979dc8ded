# sen in a container: the binary, certificates of the authorities, and nothing that runs as root.
#
#   docker build --build-arg SEN_COMMIT="$(git rev-parse HEAD)" -t sen .
#   docker run --rm -e DATABASE_URL sen status
FROM rust:1.88-slim-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
ARG SEN_COMMIT
ENV SEN_COMMIT=$SEN_COMMIT
RUN cargo build --locked --profile dist --bin sen

FROM debian:bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates && rm -rf /var/lib/apt/lists/*
COPY --from=build /src/target/dist/sen /usr/local/bin/sen
# A number, so that Kubernetes can see that it is not root.
USER 65534:65534
WORKDIR /tmp
ENTRYPOINT ["sen"]
