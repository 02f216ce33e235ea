module github.com/flowhook/flowhook/hooks/webhook

go 1.26.0

replace github.com/flowhook/flowhook => ../..
