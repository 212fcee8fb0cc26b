FROM python:3.13-slim-trixie AS build
WORKDIR /source
RUN python -m venv /opt/perezvon
COPY requirements.image.lock ./
RUN /opt/perezvon/bin/pip install --no-cache-dir \
    --require-hashes --only-binary=:all: -r requirements.image.lock
COPY pyproject.toml README.md LICENSE ./
COPY domain domain
COPY application application
COPY infrastructure infrastructure
COPY interfaces interfaces
RUN /opt/perezvon/bin/pip install --no-cache-dir --no-deps --no-build-isolation .

FROM python:3.13-slim-trixie
COPY --from=build /opt/perezvon /opt/perezvon
ENV PATH=/opt/perezvon/bin:$PATH \
    PYTHONSAFEPATH=1 \
    PYTHONUNBUFFERED=1
USER 10001
EXPOSE 8080
CMD ["perezvon", "serve", "--host", "0.0.0.0"]
