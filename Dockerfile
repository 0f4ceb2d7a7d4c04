# The runtime in a small image, for x86-64 and arm64:
#
#   docker buildx build --platform linux/amd64,linux/arm64 -t cxr-edge .
#   docker run --rm --network none --read-only -v "$PWD:/images:ro" cxr-edge predict /images
#
# EXTRAS adds engines or formats (--build-arg EXTRAS=litert,dicom). With all that the service needs:
#
#   docker build --build-arg EXTRAS=device -t cxr-edge-serve .
#   docker run --rm cxr-edge-serve serve --sample-config > cxr-edge.toml
#   docker run -d --name cxr-edge --restart unless-stopped --network host --read-only --tmpfs /tmp --memory 768m \
#     -v cxr-edge:/var/lib/cxr-edge -v "$PWD/cxr-edge.toml:/etc/cxr-edge.toml:ro" cxr-edge-serve serve --config /etc/cxr-edge.toml

ARG PYTHON=3.12

FROM python:${PYTHON}-slim AS build
ARG EXTRAS=litert
WORKDIR /source
COPY pyproject.toml setup.py README.md LICENSE constraints.txt ./
COPY cxr_edge cxr_edge
COPY train train
COPY export export
RUN python -m venv /opt/cxr-edge \
    && /opt/cxr-edge/bin/pip install --no-cache-dir --constraint constraints.txt "cxr-edge[${EXTRAS}] @ file://$PWD" \
    && /opt/cxr-edge/bin/python -m compileall -q /opt/cxr-edge/lib

FROM python:${PYTHON}-slim
COPY --from=build /opt/cxr-edge /opt/cxr-edge
ENV PATH=/opt/cxr-edge/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
# A new volume takes the folder's owner.
RUN useradd --system --no-create-home --uid 10001 cxr && install -d -m 0750 -o 10001 /var/lib/cxr-edge
USER 10001
WORKDIR /images
RUN cxr-edge verify
ENTRYPOINT ["cxr-edge"]
CMD ["--help"]
